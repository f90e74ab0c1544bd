"""Tables that fit the terminal, and lines of text."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqzoo.cli.formats import metric
from seqzoo.cli.output import printable, write
from seqzoo.cli.stdout import answers
from seqzoo.metric_names import metric_title

__all__ = ["Column", "facts", "metrics_table", "show", "table"]

_UNLIMITED = 10_000
_GAP = 2


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether it is aligned to the right, as numbers are.
        wrap: whether a cell may take several lines.
        spare: columns with the highest value are dropped first from a table that is too wide; 0
            means never.
        style: the style of its cells, in rich's syntax.
    """

    title: str
    right: bool = False
    wrap: bool = False
    spare: int = 0
    style: str = ""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    """A table as wide as its cells; in a terminal, columns that do not fit are left out."""
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


def facts(pairs: Sequence[tuple[str, str]]) -> Table:
    """Names on the left, values on the right; pairs with an empty value are left out."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            grid.add_row(name, Text(printable(value)))
    return grid


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    """The metrics of every protocol: a row for each metric, a column for each cutoff."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for protocol, values in metrics.items():
        for key, value in values.items():
            name, _, cutoff = key.partition("@")
            cells.setdefault((protocol, name), {})[cutoff] = value
    cutoffs = sorted(
        {cutoff for row in cells.values() for cutoff in row},
        key=lambda cutoff: float(cutoff) if cutoff.isdigit() else -1.0,
    )
    rows = []
    shown = ""
    for (protocol, name), row in cells.items():
        texts = [metric(row.get(cutoff)) for cutoff in cutoffs]
        rows.append(["" if protocol == shown else protocol, metric_title(name), *texts])
        shown = protocol
    titles = [Column(f"@{cutoff}" if cutoff else "", right=True) for cutoff in cutoffs]
    return table([Column("protocol"), Column("metric"), *titles], rows)


def show(*renderables: Any) -> None:
    """Write lines and tables to stdout: in colour in a terminal, without padding elsewhere."""
    console = _console()
    with console.capture() as capture:
        for renderable in renderables:
            if isinstance(renderable, str):
                renderable = "\n".join(printable(line) for line in renderable.split("\n"))
            console.print(renderable)
    write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _console() -> Console:
    unlimited = not answers().isatty() and "COLUMNS" not in os.environ
    return Console(
        file=answers(),
        width=_UNLIMITED if unlimited else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _width(columns: Sequence[Column], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    widths = [
        max([cell_len(columns[index].title), *(cell_len(row[index]) for row in rows)])
        for index in kept
    ]
    return sum(widths) + _GAP * (len(kept) - 1)
