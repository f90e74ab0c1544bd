"""``recipe.yaml``: plain YAML, written and read without tags, anchors or aliases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seqzoo.checkpoint.schemas import RecipeFile
from seqzoo.errors import CheckpointError
from seqzoo.storage.documents import check, plain
from seqzoo.storage.plain_yaml import parse_yaml

__all__ = ["LARGEST_RECIPE", "parse_recipe", "render_recipe"]

LARGEST_RECIPE = 1 << 16
"""Bytes of a recipe file: YAML can spell numbers that take a minute to read in a megabyte."""


class _PlainDumper(yaml.SafeDumper):
    """Writes a value that occurs twice in full both times, as the reader refuses aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render_recipe(recipe: Mapping[str, Any]) -> bytes:
    """The content of ``recipe.yaml``.

    Raises:
        CheckpointError: the recipe holds a value that is not plain, or is too long.
    """
    settings = plain("the recipe", dict(recipe))
    # A recipe that reading would refuse must not be written: the checkpoint could not be loaded.
    check("recipe.yaml", settings, RecipeFile, "change the recipe")
    text = yaml.dump(settings, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)
    content = text.encode()
    if len(content) > LARGEST_RECIPE:
        raise CheckpointError(
            f"the recipe cannot be saved: it takes {len(content)} bytes, expected at most "
            f"{LARGEST_RECIPE}; put long lists into a file of their own"
        )
    return content


def parse_recipe(path: Path, content: bytes) -> dict[str, Any]:
    """The recipe in a file's bytes.

    Raises:
        CheckpointError: it is too long, or is not plain YAML of settings by name.
    """
    remedy = "correct the file or fetch the checkpoint again"
    if len(content) > LARGEST_RECIPE:
        raise CheckpointError(
            f"{path} has {len(content)} bytes, expected at most {LARGEST_RECIPE}; {remedy}"
        )
    recipe: dict[str, Any] = parse_yaml(path, content, remedy=remedy)
    check(path, recipe, RecipeFile, remedy)
    return recipe
