"""The folder of a tuning: ``tuning.json`` says which tuning it holds."""

import json
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from seqzoo.errors import CheckpointError, TrainingError
from seqzoo.storage.atomic import write_files
from seqzoo.storage.documents import check, parse_json, plain
from seqzoo.storage.fields import Closed, Settings, Text
from seqzoo.storage.integrity import read_bytes
from seqzoo.training.recipe import Recipe, differences
from seqzoo.tuning.space import Space

__all__ = ["TUNING", "TuningFile", "open_folder"]

TUNING = "tuning.json"
_LARGEST = 1 << 20
_REMEDY = "restore the file, or tune in another folder"


class TuningFile(Closed):
    """``tuning.json``: the recipe of all trials, and what is searched."""

    recipe: Settings
    space: Annotated[dict[str, Text], Meta(description="ranges and choices by setting")]


def open_folder(folder: Path, base: Recipe, space: Space) -> None:
    """Create the folder of a tuning, or check that it holds the same tuning.

    Raises:
        TrainingError: it holds another tuning or something else, or ``tuning.json`` is damaged.
    """
    path = folder / TUNING
    wanted = TuningFile(base.asked_for(), {key: str(entry) for key, entry in space.items()})
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; give a folder as --out")
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise TrainingError(
                f"{folder} is not empty and holds no tuning; give another folder as --out"
            )
        document = plain("the tuning", {"recipe": wanted.recipe, "space": wanted.space})
        write_files(folder, {TUNING: (json.dumps(document, indent=1) + "\n").encode()})
        return
    found = _read(path)
    others = differences(found.recipe, wanted.recipe)
    for key in sorted(found.space.keys() | wanted.space.keys()):
        one, two = (each.space.get(key, "not searched") for each in (found, wanted))
        others += [f"{key} is {one} there and {two} here"] if one != two else []
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise TrainingError(
            f"{folder} holds another tuning ({others[0]}{more}); give another folder as --out"
        )


def _read(path: Path) -> TuningFile:
    try:
        document = parse_json(path, read_bytes(path, _LARGEST), remedy=_REMEDY)
        return check(path, document, TuningFile, _REMEDY)
    except CheckpointError as error:
        raise TrainingError(str(error)) from error
