"""Read delimited text into tables of strings; messages can name the line of every row."""

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

import polars as pl

from seqzoo.data.readers.panics import panics_as_errors
from seqzoo.data.readers.sources import SourceFile
from seqzoo.data.readers.tables import Rows, Table
from seqzoo.errors import DataError

__all__ = ["Layout", "Quote", "read_first_line", "read_text"]

Quote = Literal['"'] | None

_PIECE = 1 << 25
"""How many bytes of text are parsed at once."""


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


def read_text(
    file: SourceFile,
    layout: Layout,
    first_line: tuple[int, str] | None = None,
    piece: int | None = None,
) -> Rows:
    """Read all fields as text.

    Args:
        file: what to read.
        layout: how the text is split into fields.
        first_line: number and text of its first line, if they are known already.
        piece: bytes that are parsed at once; None for 32 MiB.

    Raises:
        DataError: the file is empty or not UTF-8, or names a column twice. Reading its chunks
            raises it for a row with too few or too many fields; the message names the line.
    """
    number, first = read_first_line(file) if first_line is None else first_line
    columns = layout.columns
    if layout.header:
        names = first.split(layout.separator)
        if layout.quote is not None:
            try:
                names = next(csv.reader([first], delimiter=layout.separator))
            except csv.Error as error:
                raise _malformed(f"{file.shown}, line {number}", error) from error
        columns = tuple(name.strip() for name in names)
        for name in columns:
            if columns.count(name) > 1:
                raise DataError(
                    f"{file.shown}, line {number}: several columns have the name '{name}'; "
                    "expected different names"
                )
    head = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return Rows(
        Table(file, head, locate=partial(_line_of, file, layout)),
        lambda wanted: _read_chunks(file, layout, number, first, columns, wanted, piece or _PIECE),
    )


def _read_chunks(
    file: SourceFile,
    layout: Layout,
    number: int,
    first: str,
    columns: Sequence[str],
    wanted: Sequence[str],
    piece: int,
) -> Iterator[Table]:
    header = first.encode() + b"\n" if layout.header else b""
    before, empty = 0, True
    for content, is_start in _pieces(file, layout.quote, piece):
        if isinstance(content, bytes) and not is_start:
            content = header + content
        frame = _parse(file, layout, content, number - 1 if is_start else 0, columns)
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        rows = None
        if before or blank.any():
            rows = pl.int_range(before, before + frame.height, eager=True).filter(~blank)
        before += frame.height
        frame = frame.select(wanted).filter(~blank)
        if not frame.is_empty():
            empty = False
            yield Table(file, frame, rows, partial(_line_of, file, layout))
    if empty:
        raise DataError(f"{file.shown} has a header but no rows; expected interactions")


def _parse(
    file: SourceFile, layout: Layout, content: Path | bytes, skipped: int, columns: Sequence[str]
) -> pl.DataFrame:
    """The rows of a part of the text, including blank ones."""
    try:
        with panics_as_errors():
            frame = pl.read_csv(
                content,
                separator=layout.separator[0],
                quote_char=layout.quote,
                has_header=layout.header,
                infer_schema=False,
                skip_lines=skipped,
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
    return frame


def _pieces(file: SourceFile, quote: Quote, piece: int) -> Iterator[tuple[Path | bytes, bool]]:
    """The text in pieces of whole rows, each with whether it is the start of the file."""
    if isinstance(file.content, Path) and file.content.stat().st_size <= piece:
        yield file.content, True
        return
    rest, is_start = b"", True
    with file.open() as stream:
        while block := stream.read(piece):
            rest += block
            end = _end_of_rows(rest, quote)
            if end:
                yield rest[:end], is_start
                rest, is_start = rest[end:], False
    if rest:
        yield rest, is_start


def _end_of_rows(text: bytes, quote: Quote) -> int:
    """The position after the last end of a row with a row behind it; 0 if there is none.

    A line feed ends a row where an even number of quotes is before it, and blank rows stay with
    the row before them.
    """
    end = len(text)
    is_even = quote is None or text.count(b'"') % 2 == 0
    while True:
        found = text.rfind(b"\n", 0, end - 1) + 1 if end else 0
        if not found:
            return 0
        if quote is not None:
            is_even ^= text.count(b'"', found, end) % 2 == 1
        if is_even and text[found : found + 1] not in (b"\n", b"\r"):
            return found
        end = found


def _line_of(file: SourceFile, layout: Layout, row: int) -> str:
    """The file and the line of a row of it, for messages."""
    for number, (line, _) in enumerate(_records(file, layout)):
        if number == row:
            return f"{file.shown}, line {line}"
    return file.shown


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
        try:
            for fields in reader:
                yield line, fields
                line = before + reader.line_num + 1
        except csv.Error as error:
            raise _malformed(f"{file.shown}, line {line}", error) from error


def _raise_for_damage(file: SourceFile, layout: Layout, expected: int) -> None:
    """Raise a DataError that names the first damaged row, if there is one.

    This reads the whole file in Python: only for files that are probably damaged.
    """
    with file.open() as stream:
        for number, raw in enumerate(stream, start=1):
            _decode(file, number, raw)
    for line, fields in _records(file, layout):
        if fields and len(fields) != expected:
            hint = "too short" if len(fields) < expected else "too long"
            raise DataError(
                f"{file.shown}, line {line}: {len(fields)} fields, expected {expected}; "
                f"the row is {hint}: correct or remove the line"
            )


def _malformed(location: str, error: csv.Error) -> DataError:
    # The end of Python's message advises its programmers.
    reason = str(error).partition(" - ")[0]
    return DataError(f"{location}: {reason}; correct or remove the line")


def _decode(file: SourceFile, line: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "utf-16" if line == 1 and raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "latin1"
        raise DataError(
            f"{file.shown}, line {line}: the text is not UTF-8; expected UTF-8 "
            f"(convert it: iconv -f {found} -t utf-8)"
        ) from error
