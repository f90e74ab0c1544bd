"""A checkpoint in memory: its folder is read and checked once, and this record is passed on."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
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
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.storage.atomic import COMMIT, locate, settled
from seqzoo.storage.integrity import read_bytes
from seqzoo.storage.safetensors_header import count_parameters
from seqzoo.storage.tensors import parse_tensors

_LARGE = 64 << 20


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint folder, as plain data.

    Attributes:
        manifest: ``config.json``: architecture, parts, settings, and the sha256 of each file.
        vocabulary: the items in index order.
        recipe: everything needed to reproduce the checkpoint.
        metrics: stored metrics by protocol.
        tensors: weights by name.
        contents: bytes by file name, if they were requested.
    """

    manifest: Manifest
    vocabulary: Vocabulary
    recipe: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]
    contents: Mapping[str, bytes] = field(default_factory=dict)

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
        The tensors, the vocabulary, the recipe or the metrics, by the file's name.

    Raises:
        CheckpointError: the file is missing or malformed.
        IntegrityError: it differs from what was recorded.
    """
    return _PARSERS[name](*_verified(manifest, name))


_PARSERS: Mapping[str, Callable[[Path, bytes], Any]] = {
    RECIPE: parse_recipe,
    METRICS: parse_metrics,
    VOCABULARY: parse_vocabulary,
    WEIGHTS: parse_tensors,
}


def _verified(manifest: Manifest, name: str) -> tuple[Path, bytes]:
    size = manifest.files[name]["size"]
    if name == WEIGHTS and size > _LARGE:
        # A sparse file takes no space on the disk but its full size in memory, so the shapes in the
        # header must account for a large file before it is read.
        try:
            count_parameters(sized(manifest, name), size)
        except CheckpointError:
            verify_file(manifest, name)  # a damaged file is reported as damaged
            raise
    return read_verified(manifest, name)


def _read(manifest: Manifest, keep: bool) -> Checkpoint:
    contents = {}
    parsed: dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        path, content = _verified(manifest, name)
        parsed[name] = parse(path, content)
        if keep:
            contents[name] = content
    if keep:
        contents[CONFIG] = manifest.content
        for name in (CARD, CURVE):
            if any(os.path.lexists(p / name) for p in (manifest.folder, manifest.folder / COMMIT)):
                contents[name] = read_bytes(locate(manifest.folder, name), LARGEST[name])
    return Checkpoint(
        manifest, parsed[VOCABULARY], parsed[RECIPE], parsed[METRICS], parsed[WEIGHTS], contents
    )
