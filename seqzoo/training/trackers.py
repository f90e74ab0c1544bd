"""Experiment trackers: every epoch is reported to the trackers that accelerate supports."""

from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import Accelerator, tracking
from accelerate.tracking import GeneralTracker

from seqzoo.errors import TrainingError, UsageError, nearest, one_line
from seqzoo.validation import list_of

__all__ = ["PROJECT", "Trackers", "check_trackers"]

PROJECT = "seqzoo"


def check_trackers(trackers: Sequence[str | GeneralTracker]) -> list[str | GeneralTracker]:
    """Check that each tracker is known to accelerate and installed.

    Raises:
        UsageError: they are not a list, accelerate knows no such tracker, or its package is not
            installed.
    """
    trackers = list_of("trackers", "names of trackers", trackers)
    known = sorted(str(name) for name in tracking.LOGGER_TYPE_TO_CLASS)
    available = {str(name) for name in tracking.get_available_trackers()}
    for tracker in trackers:
        if isinstance(tracker, GeneralTracker):
            continue
        if tracker not in known:
            raise UsageError(
                f"unknown tracker '{tracker}'{nearest(str(tracker), known) or ';'} accelerate "
                f"knows: {', '.join(known)}"
            )
        if tracker not in available:
            raise UsageError(
                f"the tracker '{tracker}' is not installed; pip install {tracker.replace('_', '-')}"
            )
    return trackers


class Trackers:
    """The trackers of a run; if one fails, the run ends with an error that says how to resume."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def start(self, recipe: Mapping[str, Any]) -> None:
        """Start the trackers, with the recipe as settings ``train.lr`` and so on."""
        if self._accelerator.log_with:
            self._do("start", lambda: self._accelerator.init_trackers(PROJECT, _flat(recipe)))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Report the record of an epoch."""
        measured = ("loss", "lr", "seconds")
        values = {key: record[key] for key in measured if record[key] is not None}
        if record["value"] is not None:
            values[f"valid/{record['metric']}"] = record["value"]
        self._log(values, record["epoch"])

    def metrics(self, metrics: Mapping[str, Mapping[str, float]], epoch: int) -> None:
        """Report the metrics of the test items, ``loo-full/ndcg@10`` and so on."""
        values = {
            f"{protocol}/{name}": value
            for protocol, own in metrics.items()
            for name, value in own.items()
        }
        self._log(values, epoch)

    def finish(self) -> None:
        """Let each tracker write its remaining data."""
        for tracker in self._accelerator.trackers:
            self._do("finish", tracker.finish)

    def _log(self, values: dict[str, float], step: int) -> None:
        if self._accelerator.trackers:
            self._do("log metrics", lambda: self._accelerator.log(values, step=step))

    def _do(self, what: str, action: Any) -> None:
        try:
            action()
        # A tracker is third-party code, which usually needs a network.
        except Exception as error:
            names = ", ".join(getattr(t, "name", str(t)) for t in self._accelerator.log_with)
            raise TrainingError(
                f"the tracker ({names}) cannot {what}: {type(error).__name__}: "
                f"{one_line(error, 200)}; the same command without it resumes the run"
            ) from error


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names, lists as text, which every tracker accepts."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            plain = isinstance(value, bool | int | float | str)
            flat[prefix + key] = value if plain else str(value)
    return flat
