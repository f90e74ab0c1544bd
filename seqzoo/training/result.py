"""The outcome of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seqzoo.checkpoint.manifest import read_manifest, read_metrics
from seqzoo.data.sequences import SequenceData
from seqzoo.training.state import Progress

__all__ = [
    "TrainingResult",
    "result_of",
    "stored_metrics",
]


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run.

    Attributes:
        out: folder of the checkpoint.
        best_epoch: the epoch whose weights it holds.
        epochs: number of epochs run.
        metrics: values by protocol and metric, on the test items; empty if the run was interrupted.
        seconds: time spent, over all starts of the run.
        interrupted: whether Ctrl-C ended it.
        examples: a few item ids that the model knows.
    """

    out: Path
    best_epoch: int
    epochs: int
    metrics: dict[str, dict[str, float]]
    seconds: float
    interrupted: bool = False
    examples: tuple[str, ...] = ()


def result_of(
    out: Path, progress: Progress, data: SequenceData, metrics: Mapping[str, Mapping[str, float]]
) -> TrainingResult:
    """The result of a run with these metrics."""
    return TrainingResult(
        out,
        progress.best_epoch,
        progress.epoch,
        {protocol: dict(own) for protocol, own in metrics.items()},
        progress.seconds,
        examples=data.vocabulary.items[:3],
    )


def stored_metrics(out: Path) -> dict[str, dict[str, float]]:
    """The metrics that a run's folder holds, by protocol."""
    stored = read_metrics(read_manifest(out))
    return {protocol: entry["metrics"] for protocol, entry in stored.items()}
