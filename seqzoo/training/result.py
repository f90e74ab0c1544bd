"""The outcome of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from seqzoo.checkpoint.manifest import read_manifest, read_metrics
from seqzoo.data.sequences import SequenceData
from seqzoo.data.summary import Summary
from seqzoo.metric_names import metric_title
from seqzoo.notebook import block, facts, line, metrics_table
from seqzoo.training.start import Start
from seqzoo.training.state import Progress

__all__ = [
    "TrainingResult",
    "result_of",
    "stored_metrics",
]


@dataclass(frozen=True, repr=False)
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
        stages: the interactions as read and after each filter.
        start: ``source`` and ``sha256`` of the checkpoint that the run started from, if any.
        new_items: number of items that the start did not know.
        validated: whether validation chose the epoch; False with ``train.hold_out=none``.
        best_value: the validation metric of the best epoch.
    """

    out: Path
    best_epoch: int
    epochs: int
    metrics: dict[str, dict[str, float]]
    seconds: float
    interrupted: bool = False
    examples: tuple[str, ...] = ()
    stages: tuple[Summary, ...] = ()
    start: dict[str, str] | None = None
    new_items: int = 0
    validated: bool = True

    def started_from(self, start: Start | None, data: SequenceData) -> "TrainingResult":
        """The same result with the checkpoint that the run started from, if any."""
        if start is None:
            return self
        added = start.new_items(data.vocabulary)
        return replace(self, start=start.to_dict(), new_items=added)

    best_value: float = 0.0

    def __repr__(self) -> str:
        """Folder, epochs, time and the metrics at 10, on one line."""
        shown = [
            f"{protocol}: "
            + ", ".join(f"{metric_title(key)} {value:.4f}" for key, value in values.items())
            for protocol, values in self._headline().items()
        ]
        state = ["interrupted"] if self.interrupted else []
        best = f"best epoch {self.best_epoch} of {self.epochs}"
        if not self.validated:
            best = f"{self.epochs} epochs without validation"
        words = [best, f"{self.seconds:.1f} s"]
        words += [f"{self.new_items} new items"] if self.start else []
        return f"TrainingResult('{self.out}', {'; '.join([*words, *state, *shown])})"

    def _repr_html_(self) -> str:
        state = "stopped" if self.interrupted else "trained"
        epochs = f"{self.epochs}; the checkpoint holds the best, epoch {self.best_epoch}"
        if not self.validated:
            epochs = f"{self.epochs}, without validation"
        rows = [
            ("checkpoint", self.out),
            ("epochs", epochs),
            ("time", f"{self.seconds:.1f} s"),
        ]
        metrics = [line("metrics on the test items"), metrics_table(self._headline())]
        return block(
            f"{state}: {self.out.name}", facts(rows), *(metrics if self.metrics else [])
        ).text

    def _headline(self) -> dict[str, dict[str, float]]:
        """The metrics at cutoff 10 by protocol, or all of a protocol that has no such cutoff."""
        return {
            protocol: {key: value for key, value in values.items() if key.endswith("@10")} or values
            for protocol, values in self.metrics.items()
        }


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
        stages=data.summaries,
        validated=any(record.get("value") is not None for record in progress.epochs),
        best_value=progress.best_value,
    )


def stored_metrics(out: Path) -> dict[str, dict[str, float]]:
    """The metrics that a run's folder holds, by protocol."""
    stored = read_metrics(read_manifest(out))
    return {protocol: entry["metrics"] for protocol, entry in stored.items()}
