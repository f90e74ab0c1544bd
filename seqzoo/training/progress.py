"""Progress of a run: nothing, or a bar on a terminal and a line for each epoch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

from seqzoo.metric_names import metric_title

__all__ = [
    "Reporter",
    "RunFacts",
    "TerminalReporter",
    "for_terminal",
    "users_progress",
]


@dataclass(frozen=True)
class RunFacts:
    """The facts about a run that are shown at its start.

    Attributes:
        architecture: registered name.
        parameters: number of trainable parameters.
        data: name of the data.
        users, items, interactions: their size after the filter.
        epochs: maximum number of epochs.
        done: number of epochs finished before this start.
        processes: number of processes that train together.
        threads: CPU threads in each process.
        device: device of the weights, for example ``cpu`` or ``cuda``.
        notes: what else there is to say, one line each.
    """

    architecture: str
    parameters: int
    data: str
    users: int
    items: int
    interactions: int
    epochs: int
    done: int
    processes: int
    threads: int
    device: str
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The facts as lines of text."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        resumed = f", continuing after epoch {self.done}" if self.done else ""
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        each = "" if self.processes == 1 else " each"
        return [
            f"training {self.architecture} ({self.parameters:,} parameters) on {self.data}: "
            f"{self.users:,} users, {self.items:,} items, {self.interactions:,} interactions",
            f"up to {epochs}{resumed}; {processes} on {self.device}, {threads}{each}",
            *self.notes,
        ]


class Reporter:
    """Receives the progress of a run; this class ignores it, subclasses show it."""

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def begin(self, facts: RunFacts) -> None:
        """The run begins, or continues."""

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        """An epoch of ``batches`` batches begins."""

    def batch(self, loss: float, examples_per_second: float) -> None:
        """One more batch is done."""

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """An epoch is done."""


class TerminalReporter(Reporter):
    """A line for the run and one for each epoch, and a progress bar where stderr is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
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

    def begin(self, facts: RunFacts) -> None:
        """Print the facts about the run."""
        for text in facts.lines():
            self._print(text)

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        """Set the bar to the beginning of an epoch."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            "", total=batches, epoch=f"{epoch}/{epochs}", state=self._best
        )
        self._batches = batches

    def batch(self, loss: float, examples_per_second: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._batches -= 1
            state = self._best if self._batches else "validating"
            words = (f"loss {loss:.3f}", state, f"{examples_per_second:,.0f}/s")
            self._bar.update(self._task, advance=1, state=" ".join(filter(None, words)))

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Print the line of an epoch."""
        value, valid, mark = record["value"], "", ""
        if value is not None:
            valid = f"valid {metric_title(record['metric'])} {value:.4f}  "
            mark = "  best so far" if best else ""
            self._best = f"best {value:.4f}" if best else self._best
        seconds = record["seconds"]
        spent = f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
        loss = "" if record["loss"] is None else f"loss {record['loss']:.4f}  "
        self._print(f"epoch {record['epoch']:>3}  {loss}{valid}{spent:>5}{mark}")

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def for_terminal() -> Reporter:
    """A reporter that writes to stderr."""
    return TerminalReporter(Console(file=sys.stderr))


@contextmanager
def users_progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that counts users; yields the function that advances it.

    Args:
        total: expected number of users, or None if unknown.
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
