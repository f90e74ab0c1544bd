"""Tables between the formats and the interactions: rows in chunks that know their location."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from seqzoo.data.readers.sources import SourceFile

__all__ = ["CHUNK", "Rows", "Table", "rows_of_frame"]

CHUNK = 1 << 21
"""How many rows of a table are converted at once."""


@dataclass(frozen=True)
class Table:
    """Some rows of a file. Columns of text files are all strings; a missing field is null.

    Attributes:
        file: the file of the rows.
        frame: the rows, without blank ones.
        rows: the number of each row in the file, including blank ones, or None if they are 0, 1, ….
        locate: the file and the position of the row with a number, as text; None for ``row 1``, ….
        in_memory: whether the table was in memory instead of in a file.
    """

    file: SourceFile
    frame: pl.DataFrame
    rows: pl.Series | None = None
    locate: Callable[[int], str] | None = None
    in_memory: bool = False

    def column_option(self, role: str) -> str:
        """The option for the column of a role, up to its value, for example ``--user-col ``."""
        return f"{role}_col=" if self.in_memory else f"--{role}-col "

    def location(self, row: int) -> str:
        """The file and the line of a row, for messages."""
        row = row if self.rows is None else int(self.rows[row])
        return f"{self.file.shown}, row {row + 1}" if self.locate is None else self.locate(row)


@dataclass(frozen=True)
class Rows:
    """All rows of a file or a table, which are read in chunks.

    Attributes:
        head: the columns and their types, without rows.
        read: gives chunks of at least one row with some of the columns.
    """

    head: Table
    read: Callable[[Sequence[str]], Iterator[Table]]

    def all(self, columns: Sequence[str]) -> pl.DataFrame:
        """All rows, with some of the columns."""
        return pl.concat([table.frame for table in self.read(columns)])


def rows_of_frame(file: SourceFile, frame: pl.DataFrame, *, in_memory: bool = False) -> Rows:
    """The rows of a data frame."""

    def read(columns: Sequence[str]) -> Iterator[Table]:
        for start in range(0, frame.height, CHUNK):
            part = frame.select(columns).slice(start, CHUNK)
            rows = pl.int_range(start, start + part.height, eager=True) if start else None
            yield Table(file, part, rows, in_memory=in_memory)

    return Rows(Table(file, frame.clear(), in_memory=in_memory), read)
