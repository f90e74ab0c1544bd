"""The state of a run between epochs: enough to resume to the same result bit for bit.

No random state is stored: batch order and dropout of an epoch depend on the seed and the epoch's
number.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from seqzoo.checkpoint.schemas import ProgressFile
from seqzoo.errors import CheckpointError, TrainingError
from seqzoo.storage.atomic import locate, recover, write_files
from seqzoo.storage.documents import read_json
from seqzoo.storage.integrity import read_bytes
from seqzoo.storage.messages import malformed
from seqzoo.storage.tensors import EncodedTensors

__all__ = [
    "FOLDER",
    "Progress",
    "holds_run",
    "read_progress",
    "read_state",
    "write_progress",
    "write_state",
]

FOLDER = "training"
_TENSORS, _PROGRESS = "state.safetensors", "progress.json"
_LARGEST = 64 << 20
"""Bytes of the progress file."""


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        recipe: the recipe as plain values, without those that a run adds itself.
        fingerprint: fingerprint of the data; empty before they are read.
        epoch: number of finished epochs.
        best_epoch: the epoch whose weights are the checkpoint, from 1; 0 before the first ends.
        best_value: its validation metric.
        threads: number of CPU threads, the same after resuming as before.
        finished: whether training has ended and the checkpoint has its metrics.
        seconds: time spent so far.
        epochs: one record for each epoch: loss, validation metric, learning rate, seconds.
    """

    recipe: dict[str, Any]
    fingerprint: str = ""
    epoch: int = 0
    best_epoch: int = 0
    best_value: float = -1.0
    threads: int = 0
    finished: bool = False
    seconds: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)


def holds_run(out: Path) -> bool:
    """Whether a folder holds a run, even a damaged one."""
    try:
        locate(out / FOLDER, _PROGRESS)
    except CheckpointError:
        return False
    return True


def read_progress(out: Path) -> Progress | None:
    """The progress of the run in a folder, or None where there is no run.

    Raises:
        TrainingError: the file is damaged, or holds something else.
    """
    recover(out / FOLDER)
    try:
        path = locate(out / FOLDER, _PROGRESS)
    except CheckpointError:
        return None
    remedy = "train into another folder or add --overwrite"
    try:
        document = read_json(path, read_bytes(path, _LARGEST), ProgressFile, remedy=remedy)
        progress = Progress(**document)
        if len(progress.epochs) != progress.epoch:
            raise malformed(
                path, "'epochs'", len(progress.epochs), f"{progress.epoch} records", remedy
            )
    except CheckpointError as error:
        raise TrainingError(str(error)) from None
    return progress


def write_progress(out: Path, progress: Progress) -> None:
    """Write the progress of a run that has no state yet.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    write_files(out / FOLDER, {_PROGRESS: _progress_bytes(progress)})


def write_state(
    out: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write progress, weights and optimizer state atomically.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
    write_files(
        out / FOLDER,
        {
            _TENSORS: EncodedTensors(tensors).write,
            _PROGRESS: _progress_bytes(progress),
        },
    )


def _progress_bytes(progress: Progress) -> bytes:
    return (json.dumps(asdict(progress), indent=1) + "\n").encode()


def read_state(out: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Restore the stored weights and optimizer state.

    Raises:
        TrainingError: the file is damaged or belongs to another model.
    """
    try:
        tensors = load_tensors(locate(out / FOLDER, _TENSORS).read_bytes())
        weights: dict[str, Tensor] = {}
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "model":
                weights[rest] = value
            else:
                index, _, key = rest.partition(".")
                states.setdefault(int(index), {})[key] = value
        model.load_state_dict(weights, strict=True)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})
    except (CheckpointError, OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"{out / FOLDER / _TENSORS} does not hold the state of this run "
            f"({str(error).splitlines()[0]}); train into another folder or add --overwrite"
        ) from None
