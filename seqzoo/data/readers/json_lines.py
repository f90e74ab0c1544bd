"""Read JSON lines: one object on each line; messages can name the line of every row."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import polars as pl

from seqzoo.data.readers.sources import SourceFile
from seqzoo.data.readers.tables import Rows, Table
from seqzoo.errors import DataError, one_line

__all__ = ["read_json_lines"]

_ROWS = 1 << 15
_BYTES = 1 << 25
_LONGEST = 1 << 26
"""Bytes of a line at most."""

_EXPECTED = 'expected an object on each line, such as {"user": "ann", "item": "260"}'


def read_json_lines(file: SourceFile) -> Rows:
    """Read a file of JSON lines; the columns are the keys of the first block of lines.

    Raises:
        DataError: the file is empty. Reading its chunks raises it for a line that is not a JSON
            object, or has a value of another type than the lines before it.
    """
    lines, objects = next(_blocks(file), ([], []))
    if not objects:
        raise DataError(f"{file.shown} is empty; expected one interaction or one user per line")
    columns = list(dict.fromkeys(key for each in objects for key in each))
    head = _table(file, lines, objects, columns).frame.clear()

    def read(wanted: Sequence[str]) -> Iterator[Table]:
        for lines, objects in _blocks(file):
            yield _table(file, lines, objects, wanted)

    return Rows(Table(file, head, locate=partial(_location, file)), read)


def _blocks(file: SourceFile) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Line numbers and objects, in chunks that fit into memory."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    lines: list[int] = []
    objects: list[dict[str, Any]] = []
    size = 0
    with file.open() as stream:
        number = 0
        while raw := stream.readline(_LONGEST + 1):
            number += 1
            if len(raw) > _LONGEST:
                raise DataError(f"{file.shown}, line {number} has more than {_LONGEST:,} bytes")
            text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if not text.strip():
                continue
            try:
                objects.append(decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(
                    f"{file.shown}, line {number}: {one_line(error, 120)}; {_EXPECTED}"
                ) from None
            lines.append(number)
            size += len(raw)
            if len(lines) == _ROWS or size > _BYTES:
                yield lines, objects
                lines, objects, size = [], [], 0
    if lines:
        yield lines, objects


def _table(
    file: SourceFile, lines: list[int], objects: list[dict[str, Any]], columns: Sequence[str]
) -> Table:
    numbers = pl.Series(lines, dtype=pl.Int64) - 1
    locate = partial(_location, file)
    found = {}
    for column in columns:
        values = [each.get(column) for each in objects]
        try:
            found[column] = pl.Series(column, values, strict=True)
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
            found[column] = _mixed(Table(file, pl.DataFrame(), numbers, locate), column, values)
    return Table(file, pl.DataFrame(found), numbers, locate)


def _mixed(table: Table, column: str, values: list[Any]) -> pl.Series:
    """Values of several types: numbers and text become text, also in lists."""

    def text(row: int, value: Any) -> str | None:
        if isinstance(value, str) or value is None:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise DataError(
            f"{table.location(row)}: the column '{column}' holds {one_line(value, 60)}; expected "
            "text or numbers, as in the other lines"
        )

    if any(isinstance(value, list) for value in values):
        lists = []
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, list):
                raise DataError(
                    f"{table.location(row)}: the column '{column}' holds {one_line(value, 60)}; "
                    "expected a list, as in other lines"
                )
            lists.append(None if value is None else [text(row, each) for each in value])
        return pl.Series(column, lists, dtype=pl.List(pl.String))
    texts = [text(row, value) for row, value in enumerate(values)]
    return pl.Series(column, texts, dtype=pl.String)


def _location(file: SourceFile, row: int) -> str:
    return f"{file.shown}, line {row + 1}"
