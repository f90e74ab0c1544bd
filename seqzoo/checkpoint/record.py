"""A checkpoint in memory: its folder is read and checked once, and this record is passed on."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from seqzoo.checkpoint.features_file import parse_item_features
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    FEATURES,
    LARGEST,
    METRICS,
    RECIPE,
    VOCABULARY,
    WEIGHTS,
    Manifest,
    parse_metrics,
    parse_vocabulary,
    read_manifest,
    read_verified,
    sized,
    verify_file,
)
from seqzoo.checkpoint.recipe_file import parse_recipe
from seqzoo.data.item_table import ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.storage.atomic import COMMIT, locate, settled
from seqzoo.storage.integrity import read_bytes
from seqzoo.storage.safetensors_header import count_parameters
from seqzoo.storage.tensors import MAPPING, EncodedTensors, map_tensors, parse_tensors

__all__ = ["Checkpoint", "checkpoint_from", "read_checkpoint", "read_file"]

_LARGE = 64 << 20
"""Weights up to this size in bytes are read, larger ones are mapped."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint folder, as plain data.

    Attributes:
        manifest: ``config.json``: architecture, parts, settings, and the sha256 of each file.
        vocabulary: the items in index order.
        recipe: everything needed to reproduce the checkpoint.
        metrics: stored metrics by protocol.
        tensors: weights by name.
        contents: the content of the files by name, if it was requested.
        item_features: the features of the items, if the model reads any.
    """

    manifest: Manifest
    vocabulary: Vocabulary
    recipe: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]
    contents: Mapping[str, bytes | EncodedTensors] = field(default_factory=dict)
    item_features: ItemTable | None = None

    @property
    def num_parameters(self) -> int:
        """Number of parameters and buffers in the weights."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def read_checkpoint(
    folder: str | os.PathLike[str], *, manifest: Manifest | None = None, keep: bool = False
) -> Checkpoint:
    """Read a checkpoint folder, each file once, every one checked against its sha256.

    Args:
        folder: written by ``write_checkpoint``.
        manifest: its ``config.json``, if that has been read already.
        keep: keep the bytes of the files, the card and the training curve included.

    Raises:
        CheckpointError: a file is missing or damaged, or the files do not belong together.
        IntegrityError: a file differs from what was recorded.
        FormatVersionError: a newer seqzoo wrote it.
    """
    given = [manifest]

    def read() -> Checkpoint:
        # After a concurrent write the given manifest is outdated too.
        found = given.pop() if given else None
        return _read(read_manifest(folder) if found is None else found, keep)

    return settled(folder, read)


def read_file(manifest: Manifest, name: str) -> Any:
    """Read, check and parse one recorded file of a checkpoint.

    Returns:
        The tensors, the vocabulary, the recipe, the metrics or the item features, by the file's
        name.

    Raises:
        CheckpointError: the file is missing or malformed.
        IntegrityError: it differs from what was recorded.
    """
    return _parsed(manifest, name)[0]


_PARSERS: Mapping[str, Callable[[Path, bytes], Any]] = {
    RECIPE: parse_recipe,
    METRICS: parse_metrics,
    VOCABULARY: parse_vocabulary,
    WEIGHTS: parse_tensors,
    FEATURES: parse_item_features,
}


def _parsed(manifest: Manifest, name: str, keep: bool = False) -> tuple[Any, bytes | None]:
    """What a recorded file holds, and its bytes, which are None for weights that are mapped."""
    entry = manifest.files[name]
    if name == WEIGHTS and entry["size"] > _LARGE:
        # A sparse file takes no space on the disk but its full size in memory, so the shapes in the
        # header must account for a large file before it is read.
        try:
            path = sized(manifest, name)
            count_parameters(path, entry["size"])
        except CheckpointError:
            verify_file(manifest, name)  # a damaged file is reported as damaged
            raise
        if not keep and MAPPING:
            return map_tensors(path, entry["size"], entry["sha256"]), None
    path, content = read_verified(manifest, name)
    return _PARSERS[name](path, content), content


def _read(manifest: Manifest, keep: bool) -> Checkpoint:
    contents: dict[str, bytes | EncodedTensors] = {}
    parsed: dict[str, Any] = {}
    for name in (name for name in _PARSERS if name in manifest.files):
        parsed[name], content = _parsed(manifest, name, keep)
        if keep and content is not None:
            contents[name] = content
    if keep:
        contents[CONFIG] = manifest.content
        for name in (CARD, CURVE):
            if any(os.path.lexists(p / name) for p in (manifest.folder, manifest.folder / COMMIT)):
                contents[name] = read_bytes(locate(manifest.folder, name), LARGEST[name])
    return checkpoint_from(manifest, parsed, contents)


def checkpoint_from(
    manifest: Manifest,
    parsed: Mapping[str, Any],
    contents: Mapping[str, bytes | EncodedTensors] | None = None,
) -> Checkpoint:
    """A checkpoint from what ``read_file`` returns for each of its recorded files.

    Raises:
        CheckpointError: there are features for another number of items.
    """
    vocabulary, features = parsed[VOCABULARY], parsed.get(FEATURES)
    if features is not None and len(features) != len(vocabulary):
        raise CheckpointError(
            f"{manifest.folder / FEATURES} has features of {len(features)} items, {VOCABULARY} has "
            f"{len(vocabulary)}; the files do not belong together, fetch the checkpoint again"
        )
    return Checkpoint(
        manifest,
        vocabulary,
        parsed[RECIPE],
        parsed[METRICS],
        parsed[WEIGHTS],
        contents or {},
        features,
    )
