"""The outcome of a tuning."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["BestTrial", "TrialOutcome", "TuningResult"]


@dataclass(frozen=True)
class TrialOutcome:
    """One trial.

    Attributes:
        number: the number of the trial, from 0.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        value: the best validation metric; None for a trial that failed.
        settings: what it drew, by setting.
        curve: the validation metric by epoch.
        error: why it failed.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    curve: tuple[float, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class BestTrial:
    """The trial with the highest validation metric.

    Attributes:
        number: the number of the trial.
        value: its validation metric.
        settings: what it drew, by setting.
    """

    number: int
    value: float
    settings: dict[str, Any]


@dataclass(frozen=True)
class TuningResult:
    """The outcome of a tuning.

    Attributes:
        out: folder of the tuning; the best checkpoint is in its folder ``best``.
        architecture: registered name.
        metric: the validation metric that was maximised.
        trials: every trial.
        best: the best of them; None if none was completed.
        metrics: metrics of the best checkpoint on the test items by protocol; empty until all
            trials have ended.
        seconds: time spent in this call.
        interrupted: whether Ctrl-C ended it; the same call resumes it.
    """

    out: Path
    architecture: str
    metric: str
    trials: list[TrialOutcome]
    best: BestTrial | None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def finished(self) -> bool:
        """Whether the best checkpoint has been measured on the test items."""
        return bool(self.metrics)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``seqzoo tune --json`` prints them."""
        best = self.best
        states = [trial.state for trial in self.trials]
        return {
            "out": str(self.out),
            "trials": len(self.trials),
            "states": {state: states.count(state) for state in dict.fromkeys(states)},
            "metric": self.metric,
            "best": best
            and {"number": best.number, "value": best.value, "settings": best.settings},
            "checkpoint": str(self.out / "best") if self.finished else None,
            "metrics": self.metrics,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }
