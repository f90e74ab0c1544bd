"""What a run says while it works: nothing, or a bar on a terminal and a line for each epoch."""

import logging
import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

logger = logging.getLogger("seqzoo")


class Reporter:
    """Is told what happens; this one keeps quiet."""

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        """An epoch of so many batches begins."""

    def batch(self, loss: float, examples_per_second: float) -> None:
        """One more batch is done."""

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """An epoch is done."""


class TerminalReporter(Reporter):
    """A progress bar where stderr is a terminal, and one line for each epoch in any case."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[best]}"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._best = ""

    def __enter__(self) -> "TerminalReporter":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        """Set the bar to the beginning of an epoch."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            "", total=batches, epoch=f"{epoch}/{epochs}", loss=0.0, best=self._best, rate=0.0
        )

    def batch(self, loss: float, examples_per_second: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.update(self._task, advance=1, loss=loss, rate=examples_per_second)

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Print the line of an epoch."""
        mark = "  best so far" if best else ""
        if best:
            self._best = f"best {record['value']:.4f}"
        self.console.print(
            f"epoch {record['epoch']:>3}  loss {record['loss']:.4f}  valid {record['metric']} "
            f"{record['value']:.4f}  {record['seconds']:.0f} s{mark}",
            highlight=False,
        )


def for_terminal() -> Reporter:
    """A reporter that writes to stderr."""
    return TerminalReporter(Console(file=sys.stderr))
