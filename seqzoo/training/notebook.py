"""The display of a run in a notebook: a progress bar and the curve of the validation metric."""

import importlib
import time
from datetime import timedelta
from types import TracebackType
from typing import Any

from seqzoo.metric_names import metric_title
from seqzoo.notebook import Html, block, escape, line
from seqzoo.training.progress import Reporter, RunFacts

__all__ = ["NotebookReporter", "curve"]

_SECONDS_BETWEEN_UPDATES = 0.25
_WIDTH, _HEIGHT, _MARGIN = 420, 110, 8


class NotebookReporter(Reporter):
    """Shows a run below the cell that started it; the display stays when the run has ended."""

    def __init__(self) -> None:
        self._facts: list[str] = []
        self._records: list[dict[str, Any]] = []
        self._epoch, self._epochs, self._batch, self._batches = 0, 0, 0, 1
        self._status = ""
        self._epoch_began = 0.0
        self._shown_at = 0.0
        self._handle: Any = None

    def __enter__(self) -> "NotebookReporter":
        # IPython is not a dependency: it is installed wherever a kernel runs.
        display = importlib.import_module("IPython.display").display
        self._handle = display(Html(self._html()), display_id=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status = "finished" if kind is None else "stopped"
        self._update()

    def begin(self, facts: RunFacts) -> None:
        """Show the facts about the run above the bar."""
        self._facts = facts.lines()

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        """Set the bar to the beginning of an epoch."""
        self._epoch, self._epochs = epoch, epochs
        self._batch, self._batches = 0, batches
        self._epoch_began = time.perf_counter()
        self._status = "starting"
        self._update()

    def batch(self, loss: float, examples_per_second: float) -> None:
        """Move the bar, a few times a second at most."""
        self._batch += 1
        now = time.perf_counter()
        last = self._batch == self._batches
        if not last and now - self._shown_at < _SECONDS_BETWEEN_UPDATES:
            return
        left = (now - self._epoch_began) / self._batch * (self._batches - self._batch)
        state = "validating" if last else f"{timedelta(seconds=round(left))} left in this epoch"
        self._status = f"loss {loss:.4f}, {examples_per_second:,.0f} targets/s, {state}"
        self._update()

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Add an epoch to the curve."""
        self._records.append(record)
        self._update()

    def _update(self) -> None:
        self._shown_at = time.perf_counter()
        if self._handle is not None:
            self._handle.update(Html(self._html()))

    def _html(self) -> str:
        done = max(0, self._epoch - 1) + self._batch / self._batches
        bar = Html(
            f'<progress style="width: {_WIDTH}px" value="{done:.4f}" '
            f'max="{max(1, self._epochs)}"></progress>'
        )
        title, *details = self._facts or ["training"]
        lines = [line(text) for text in details]
        lines.append(line(bar, f"epoch {self._epoch}/{self._epochs}"))
        lines.append(line(self._status))
        if self._records and self._records[0]["value"] is not None:
            lines.append(curve(self._records))
        return block(title, *lines).text


def curve(records: list[dict[str, Any]]) -> Html:
    """The validation metric of each epoch as a line, with a circle around the best one."""
    values = [float(record["value"]) for record in records]
    low, high = min(values), max(values)
    best = values.index(high)
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(values) - 1)
    height = _HEIGHT - 2 * _MARGIN
    points = [
        (
            _MARGIN + index * step,
            _MARGIN + height * (high - value) / (high - low) if high > low else _HEIGHT / 2,
        )
        for index, value in enumerate(values)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[best]
    latest, record = records[-1], records[best]
    metric = escape(metric_title(latest["metric"]))
    caption = (
        f"validation {metric}: {values[-1]:.4f} after epoch {latest['epoch']}, "
        f"best {high:.4f} after epoch {record['epoch']}"
    )
    return Html(
        f'<svg role="img" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'style="display: block" fill="none" stroke="currentColor"><title>{caption}</title>'
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" opacity="0.3"/>'
        f'<polyline points="{path}" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/></svg><div>{caption}</div>'
    )
