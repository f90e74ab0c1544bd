"""The outcome of a run."""

from dataclasses import dataclass
from pathlib import Path

from seqzoo.checkpoint.manifest import read_manifest, read_metrics
from seqzoo.data.sequences import SequenceData
from seqzoo.training.state import Progress


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run.

    Attributes:
        out: folder of the checkpoint.
        best_epoch: the epoch whose weights it holds.
        epochs: how many were run.
        metrics: values by protocol and metric, on the test items; empty where the run was
            interrupted.
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


def stored_result(out: Path, progress: Progress, data: SequenceData) -> TrainingResult:
    """The result of a run as its folder holds it."""
    stored = read_metrics(read_manifest(out))
    return TrainingResult(
        out,
        progress.best_epoch,
        progress.epoch,
        {name: entry["metrics"] for name, entry in stored.items()},
        progress.seconds,
        examples=data.vocabulary.items[:3],
    )
