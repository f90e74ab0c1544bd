"""Read delimited text into a table of strings; messages can name the line of every row."""

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Literal

import polars as pl

from seqzoo.data.readers.panics import panics_as_errors
from seqzoo.data.readers.sources import SourceFile
from seqzoo.errors import DataError

Quote = Literal['"'] | None


@dataclass(frozen=True)
class Layout:
    """How a text is split into fields.

    Attributes:
        separator: the character between fields, or one character twice (``::``).
        quote: the character around fields that contain separators, or None.
        header: whether the first line names the columns.
        columns: the names of the columns where there is no header.
    """

    separator: str
    quote: Quote = '"'
    header: bool = True
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The rows of a file. Columns of text files are all strings; a missing field is null.

    Attributes:
        file: the file of the rows.
        frame: the rows, without blank ones.
        layout: how the text was split, or None for other tables.
        rows: the number of each row in the file, including blank ones, or None if none was blank.
        in_memory: whether the table was in memory instead of in a file.
    """

    file: SourceFile
    frame: pl.DataFrame
    layout: Layout | None = None
    rows: pl.Series | None = None
    in_memory: bool = False

    def column_option(self, role: str) -> str:
        """The option for the column of a role, up to its value, for example ``--user-col ``."""
        return f"{role}_col=" if self.in_memory else f"--{role}-col "

    def location(self, row: int) -> str:
        """The file and the line of a row, for messages."""
        row = row if self.rows is None else int(self.rows[row])
        if self.layout is None:
            return f"{self.file.shown}, row {row + 1}"
        for number, (line, _) in enumerate(_records(self.file, self.layout)):
            if number == row:
                return f"{self.file.shown}, line {line}"
        return self.file.shown


def read_first_line(file: SourceFile) -> tuple[int, str]:
    """The number and the text of the first line that is not blank.

    Raises:
        DataError: there is no such line, it is not UTF-8, or only carriage returns end lines.
    """
    with file.open() as stream:
        for number, raw in enumerate(stream, start=1):
            text = _decode(file, number, raw).strip("\r\n")
            if "\r" in text and '"' not in text:
                raise DataError(
                    f"{file.shown}: lines end with carriage returns only; expected line feeds "
                    "(convert it: tr '\\r' '\\n')"
                )
            if text.strip():
                return number, text
    raise DataError(f"{file.shown} is empty; expected one interaction per line")


def read_table(
    file: SourceFile, layout: Layout, first_line: tuple[int, str] | None = None
) -> Table:
    """Read all fields as text.

    Args:
        file: what to read.
        layout: how the text is split into fields.
        first_line: number and text of its first line, if they are known already.

    Raises:
        DataError: the file is empty or not UTF-8, names a column twice, or a row has too few or
            too many fields; the message names the line.
    """
    number, first = read_first_line(file) if first_line is None else first_line
    columns = layout.columns
    if layout.header:
        names = first.split(layout.separator)
        if layout.quote is not None:
            names = next(csv.reader([first], delimiter=layout.separator))
        columns = tuple(name.strip() for name in names)
        for name in columns:
            if columns.count(name) > 1:
                raise DataError(
                    f"{file.shown}, line {number}: several columns have the name '{name}'; "
                    "expected different names"
                )
    try:
        with panics_as_errors():
            frame = pl.read_csv(
                file.content,
                separator=layout.separator[0],
                quote_char=layout.quote,
                has_header=layout.header,
                infer_schema=False,
                skip_lines=number - 1,
            )
    except pl.exceptions.PolarsError as error:
        _raise_for_damage(file, layout, len(columns))
        raise DataError(
            f"{file.shown} cannot be read as a table: {str(error).splitlines()[0]}"
        ) from error
    if len(layout.separator) == 2:
        # Polars splits at each ":", which leaves an empty column inside each "::". If one is not
        # empty, the text is damaged: then all columns are kept, and their number shows it.
        between = frame.columns[1::2]
        if all(frame[column].null_count() == frame.height for column in between):
            frame = frame.drop(between)
    if frame.width != len(columns):
        _raise_for_damage(file, layout, len(columns))
        raise DataError(
            f"{file.shown} has {frame.width} columns; expected {len(columns)}: {', '.join(columns)}"
        )
    frame.columns = list(columns)
    # Polars reads a row with too few fields like one with empty last fields: count them.
    if frame[columns[-1]].null_count():
        _raise_for_damage(file, layout, len(columns))
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    rows = None
    if blank.any():
        rows = pl.int_range(frame.height, eager=True).filter(~blank)
        frame = frame.filter(~blank)
    if frame.is_empty():
        raise DataError(f"{file.shown} has a header but no rows; expected interactions")
    return Table(file, frame, layout, rows)


def _records(file: SourceFile, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """The line number and the fields of every row after the header, including blank rows."""
    first, _ = read_first_line(file)
    with file.open() as stream, TextIOWrapper(stream, "utf-8-sig", "replace", newline="\n") as text:
        for _ in range(first - 1 + layout.header):
            text.readline()
        before = first - 1 + layout.header
        if layout.quote is None:
            for line, raw in enumerate(text, start=before + 1):
                record = raw.rstrip("\r\n")
                yield line, record.split(layout.separator) if record else []
            return
        reader = csv.reader(text, delimiter=layout.separator)
        line = before + 1
        for fields in reader:
            yield line, fields
            line = before + reader.line_num + 1


def _raise_for_damage(file: SourceFile, layout: Layout, expected: int) -> None:
    """Raise a DataError that names the first damaged row, if there is one.

    This reads the whole file in Python: only for files that are probably damaged.
    """
    with file.open() as stream:
        for number, raw in enumerate(stream, start=1):
            _decode(file, number, raw)
    line = 1
    try:
        for line, fields in _records(file, layout):
            if fields and len(fields) != expected:
                hint = "too short" if len(fields) < expected else "too long"
                raise DataError(
                    f"{file.shown}, line {line}: {len(fields)} fields, expected {expected}; "
                    f"the row is {hint}: correct or remove the line"
                )
    except csv.Error as error:
        raise DataError(f"{file.shown}, after line {line}: {error}; correct the line") from error


def _decode(file: SourceFile, line: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "utf-16" if line == 1 and raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "latin1"
        raise DataError(
            f"{file.shown}, line {line}: the text is not UTF-8; expected UTF-8 "
            f"(convert it: iconv -f {found} -t utf-8)"
        ) from error
