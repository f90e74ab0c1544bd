"""Training one model in several processes: ``torchrun -m seqzoo train …``."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.tracking import GeneralTracker
from accelerate.utils import broadcast

from seqzoo.errors import TrainingError
from seqzoo.objectives.base import Inputs

__all__ = [
    "from_main_process",
    "is_main_process",
    "make_accelerator",
    "own_share",
    "seed_of_epoch",
    "warnings_once",
]

_SEEDS = 2**53
"""More than the seeds of all epochs of one process, so that no two processes share one."""


def make_accelerator(
    precision: str, folder: Path, trackers: Sequence[str | GeneralTracker]
) -> Accelerator:
    """An accelerator; the environment says whether other processes take part.

    Raises:
        TrainingError: the device does not support the precision, or the process has used another
            one.
    """
    # Without being told, accelerate does not join processes that have only CPUs.
    on_cpus = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()
    try:
        return Accelerator(
            cpu=on_cpus,
            mixed_precision=precision,
            log_with=list(trackers) or None,
            project_dir=folder,
        )
    except ValueError as error:
        # accelerate keeps one state for the whole process, and some devices lack a precision.
        raise TrainingError(
            f"train.precision={precision} cannot be used in this process "
            f"({str(error).splitlines()[0]}); start a new process or choose another precision"
        ) from None


def is_main_process() -> bool:
    """Whether this process reports and writes; the only process always does."""
    return bool(PartialState().is_main_process)


@contextmanager
def warnings_once(accelerator: Accelerator) -> Iterator[None]:
    """Let only the main process log anything below an error."""
    logger = logging.getLogger("seqzoo")
    level = logger.level
    if not accelerator.is_main_process:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def own_share(inputs: Inputs, accelerator: Accelerator) -> Inputs:
    """The part of a batch that this process computes, with its weight in the whole.

    Gradients become the mean over processes; the weights make it the mean over targets.
    """
    processes = accelerator.num_processes
    if processes == 1:
        return inputs
    rows = torch.arange(accelerator.process_index, len(inputs.main.targets), processes)
    own = inputs.take(rows)
    if not own.count:
        # A process without a share takes part too; otherwise the others would wait for it.
        return replace(inputs, weight=0.0)
    return replace(own, weight=own.count * processes / inputs.count)


def seed_of_epoch(seed: int, epoch: int, accelerator: Accelerator) -> int:
    """The seed of dropout and negatives in one epoch, different in each process."""
    return seed * 1_000_003 + epoch + 1 + int(accelerator.process_index) * _SEEDS


def from_main_process(value: float, accelerator: Accelerator) -> float:
    """The main process's value, so that all processes decide alike."""
    if accelerator.num_processes == 1:
        return value
    tensor = torch.tensor([value], dtype=torch.float64, device=accelerator.device)
    return float(broadcast(tensor))
