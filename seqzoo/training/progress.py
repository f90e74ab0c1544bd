"""What a run says while it works: nothing, or a bar on a terminal and a line for each epoch."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[state]}"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._batches = 0
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
            "", total=batches, epoch=f"{epoch}/{epochs}", loss=0.0, state=self._best, rate=0.0
        )
        self._batches = batches

    def batch(self, loss: float, examples_per_second: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._batches -= 1
            state = self._best if self._batches else "validating"
            self._bar.update(
                self._task, advance=1, loss=loss, state=state, rate=examples_per_second
            )

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Print the line of an epoch."""
        mark = "  best so far" if best else ""
        if best:
            self._best = f"best {record['value']:.4f}"
        seconds = record["seconds"]
        spent = f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
        self.console.print(
            f"epoch {record['epoch']:>3}  loss {record['loss']:.4f}  valid {record['metric']} "
            f"{record['value']:.4f}  {spent:>5}{mark}",
            highlight=False,
            soft_wrap=True,
        )


def for_terminal() -> Reporter:
    """A reporter that writes to stderr."""
    return TerminalReporter(Console(file=sys.stderr))


@contextmanager
def users_progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that counts users; gives what moves it on.

    Args:
        total: how many users are expected, or None where nobody knows.
    """
    left = [] if total is None else [TimeRemainingColumn(compact=True), TextColumn("left")]
    bar = Progress(
        TextColumn("users"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *left,
        console=Console(file=sys.stderr),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda users: bar.update(task, advance=users)
