"""``recipe.yaml``: plain YAML, written and read without tags, anchors or aliases."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seqzoo.errors import CheckpointError
from seqzoo.storage.untrusted import check_recipe

LARGEST_RECIPE = 1 << 16
"""Bytes of a recipe file: YAML can spell numbers that take a minute to read in a megabyte."""

_DEEPEST = 32
_REFUSED = {
    yaml.TagToken: "a tag",
    yaml.AnchorToken: "an anchor",
    yaml.AliasToken: "an alias",
    yaml.DirectiveToken: "a directive",
}
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class _PlainDumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice, as the reader takes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render_recipe(recipe: Mapping[str, Any]) -> bytes:
    """The content of ``recipe.yaml``.

    Raises:
        CheckpointError: the recipe holds something else than plain values, or is too long.
    """
    try:
        plain = json.loads(json.dumps(dict(recipe), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the recipe cannot be saved: {error}; use texts, numbers, lists and dicts"
        ) from error
    # What reading would refuse must not be written: the checkpoint could never be loaded.
    check_recipe(Path("recipe.yaml"), plain, "change the recipe")
    text = yaml.dump(plain, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)
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
        CheckpointError: it is too long, is not YAML, holds a tag, an anchor or an alias, nests too
            deeply, is not a mapping, or has values that are no settings.
    """
    if len(content) > LARGEST_RECIPE:
        raise CheckpointError(
            f"{path} has {len(content)} bytes, expected at most {LARGEST_RECIPE}; restore the file"
        )
    try:
        text = content.decode("utf-8")
        _refuse_tricks(path, text)
        recipe = yaml.safe_load(text)
    # PyYAML lets ValueError and OverflowError through for dates, numbers and characters that do
    # not exist.
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not plain YAML ({' '.join(str(error).split())[:120]}); restore the file"
        ) from error
    if not isinstance(recipe, dict):
        raise CheckpointError(
            f"{path} holds {type(recipe).__name__}, expected settings by name; restore the file"
        )
    nameless = [key for key in recipe if not isinstance(key, str)]
    if nameless:
        raise CheckpointError(
            f"{path} has the key {nameless[0]!r}, expected settings by name; restore the file"
        )
    check_recipe(path, recipe, "mend the file or fetch the checkpoint again")
    return recipe


def _refuse_tricks(path: Path, text: str) -> None:
    """A few aliases can stand for gigabytes, a tag for any object: a recipe needs neither."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        refused = _REFUSED.get(type(token))
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _DEEPEST:
            refused = f"more than {_DEEPEST} levels"
        if refused is not None:
            line = token.start_mark.line + 1
            raise CheckpointError(
                f"{path} line {line} has {refused}, expected plain YAML; write the values out"
            )
