"""What the verbs print with: JSON, tables that fit, numbers, and one line for an error."""

import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer

from seqzoo.checkpoint.find import looks_like_path

_UNLIMITED = 10_000
_GAP = 2


def write(text: str) -> None:
    """Write to stdout; a reader that has gone, ``head`` say, ends the program without a word."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def printable(text: object) -> str:
    """One line without control characters: ids, titles and messages may come from strangers."""
    words = " ".join(str(text).split())
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in words)


def complain(message: str) -> None:
    """Write the one line of an error to stderr."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    prefix = "\x1b[1;31merror:\x1b[0m" if colour else "error:"
    sys.stderr.write(f"{prefix} {printable(message)}\n")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether it holds numbers.
        wrap: whether a cell may take several lines.
        spare: how readily it is left out where the table is too wide; 0 is never.
        style: of its cells, in rich's words.
    """

    title: str
    right: bool = False
    wrap: bool = False
    spare: int = 0
    style: str = ""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Any:
    """A table that is as wide as its cells; on a terminal, columns that do not fit are left out."""
    from rich.table import Table
    from rich.text import Text

    limit = _console().width
    kept = list(range(len(columns)))
    while _width(columns, rows, kept) > limit and any(columns[index].spare for index in kept):
        kept.remove(max(kept, key=lambda index: columns[index].spare))
    grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in (columns[index] for index in kept):
        grid.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wrap,
            overflow="fold",
            style=column.style,
        )
    for row in rows:
        grid.add_row(*(Text(printable(row[index])) for index in kept))
    return grid


def facts(pairs: Sequence[tuple[str, str]]) -> Any:
    """Names on the left, what they stand for on the right; empty ones are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            grid.add_row(name, Text(printable(value)))
    return grid


def figures_table(metrics: Mapping[str, Mapping[str, float]]) -> Any:
    """Figures of every protocol: a row for each metric, a column for each cutoff."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for protocol, figures in metrics.items():
        for key, value in figures.items():
            metric, _, cutoff = key.partition("@")
            cells.setdefault((protocol, metric), {})[cutoff] = value
    cutoffs = sorted({cutoff for row in cells.values() for cutoff in row}, key=_as_number)
    rows = []
    shown = ""
    for (protocol, metric), row in cells.items():
        values = [figure(row[cutoff]) if cutoff in row else "" for cutoff in cutoffs]
        rows.append(["" if protocol == shown else protocol, metric, *values])
        shown = protocol
    titles = [Column(f"@{cutoff}" if cutoff else "", right=True) for cutoff in cutoffs]
    return table([Column("protocol"), Column("metric"), *titles], rows)


def show(*renderables: Any) -> None:
    """Write texts and tables to stdout: in colour on a terminal, without padding elsewhere."""
    console = _console()
    with console.capture() as capture:
        for renderable in renderables:
            if isinstance(renderable, str):
                renderable = "\n".join(printable(line) for line in renderable.split("\n"))
            console.print(renderable)
    write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def figure(value: float | None) -> str:
    """A metric with 4 digits."""
    return "" if value is None else f"{value:.4f}"


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return "" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """A number of bytes, as a person says it."""
    if value is None:
        return ""
    amount, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit in ("B", "KiB") else f"{amount:.1f} {unit}"


def seconds(value: float) -> str:
    """A span of time."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def command(*words: object) -> str:
    """A command line that can be typed."""
    return shlex.join(str(word) for word in words)


def eval_command(name: object, metrics: Mapping[str, Any]) -> str:
    """The command that measures a checkpoint's stored figures again."""
    own = [] if not metrics or "loo-full" in metrics else ["--protocol", next(iter(metrics))]
    return command("seqzoo", "eval", name, *own)


def as_model(name: object) -> str:
    """A folder as commands take it: one without a separator needs ``./`` to be a path."""
    text = str(name)
    return text if looks_like_path(text) else f"./{text}"


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Send the log of seqzoo to stderr while a command line runs; warnings and up."""
    logger = logging.getLogger("seqzoo")
    handler, level = _StderrHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def log_from(level: int) -> None:
    """Show log records from this level on."""
    logging.getLogger("seqzoo").setLevel(level)


@contextmanager
def users_bar(total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that counts users, if stderr is a terminal; gives what moves it."""
    if quiet or not sys.stderr.isatty():
        yield lambda users: None
        return
    from seqzoo.training.progress import users_progress

    with users_progress(total) as advance:
        yield advance


@contextmanager
def hub_progress(*, quiet: bool) -> Iterator[None]:
    """The Hub client's own progress bars, if stderr is a terminal and they are wanted."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    silent = (quiet or not sys.stderr.isatty()) and not are_progress_bars_disabled()
    if silent:
        disable_progress_bars()
    try:
        yield
    finally:
        if silent:
            enable_progress_bars()


class _StderrHandler(logging.StreamHandler[Any]):
    """Writes to what ``sys.stderr`` is at the time, a progress bar's stand-in included."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The present stderr."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """The message, marked from warnings on."""
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return mark + printable(record.getMessage())


def _console() -> Any:
    from rich.console import Console

    unlimited = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=sys.stdout,
        width=_UNLIMITED if unlimited else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _width(columns: Sequence[Column], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    from rich.cells import cell_len

    widths = [
        max([cell_len(columns[index].title), *(cell_len(row[index]) for row in rows)])
        for index in kept
    ]
    return sum(widths) + _GAP * (len(kept) - 1)


def _as_number(text: str) -> float:
    return float(text) if text.isdigit() else -1.0
