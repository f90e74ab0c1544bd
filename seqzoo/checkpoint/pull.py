"""Pull a checkpoint into the local cache or a folder, every file checked."""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seqzoo.checkpoint.find import locate_checkpoint
from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    RECORDED,
    Manifest,
    parse_manifest,
    read_manifest,
    read_vocabulary,
    verify_file,
)
from seqzoo.errors import CheckpointError
from seqzoo.storage.atomic import locate, write_files

__all__ = ["PulledCheckpoint", "pull_checkpoint"]


@dataclass(frozen=True)
class PulledCheckpoint:
    """A checkpoint on this machine.

    Attributes:
        folder: its folder.
        address: repository and commit on the Hub; None if a package ships the checkpoint.
        sha256: of ``config.json``.
        bytes: total size of the recorded files.
        examples: a few item ids that it knows.
    """

    folder: Path
    address: HubAddress | None
    sha256: str
    bytes: int
    examples: tuple[str, ...]


def pull_checkpoint(name: str, *, to: str | os.PathLike[str] | None = None) -> PulledCheckpoint:
    """Pull a checkpoint, every file checked.

    If the folder holds the same checkpoint already, its damaged files are replaced. Its card, which
    is free to edit, stays.

    Args:
        name: as for ``load``.
        to: a folder to copy it to, atomically.

    Raises:
        CheckpointError: the checkpoint is damaged, or ``to`` holds something else.
        HubError: the Hub cannot be reached or does not have the checkpoint.
    """
    folder, manifest, address = locate_checkpoint(name, verify=True)
    manifest = read_manifest(folder) if manifest is None else manifest
    if address is None:  # the files of the Hub have just been checked
        for file in manifest.names:
            verify_file(manifest, file)
    if to is not None:
        is_copy = _is_copy(Path(to), manifest)
        extras = [file for file in (CARD, CURVE) if (folder / file).is_file()]
        kept = [file for file in extras if is_copy and (Path(to) / file).exists()]
        names = [*manifest.names, CONFIG, *(file for file in extras if file not in kept)]
        write_files(to, {file: partial(shutil.copyfile, locate(folder, file)) for file in names})
        folder = Path(to)
    return PulledCheckpoint(
        folder, address, manifest.sha256, manifest.size, read_vocabulary(manifest).items[:3]
    )


def _is_copy(folder: Path, manifest: Manifest) -> bool:
    """Whether a folder holds this checkpoint already; other files are never overwritten."""
    if (folder / CONFIG).exists():
        if parse_manifest(locate(folder, CONFIG)).sha256 != manifest.sha256:
            raise CheckpointError(f"{folder} holds another checkpoint; choose another folder")
        return True
    for file in (*RECORDED, CARD, CURVE):
        if os.path.lexists(folder / file):
            raise CheckpointError(
                f"{folder} holds {file}, which is not part of this checkpoint and would be lost; "
                "choose another folder"
            )
    return False
