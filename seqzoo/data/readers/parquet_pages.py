"""Check the sizes and the rows that a Parquet file declares, before polars reads it.

polars allocates what the header of a page declares. One changed byte can declare exabytes, for
which Rust ends the whole process, so no exception could be caught. Only the headers are read here;
they are written in Thrift's compact protocol.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from seqzoo.data.readers.sources import ALWAYS_UNPACKED, HIGHEST_RATIO, SourceFile
from seqzoo.errors import DataError

__all__ = ["ALWAYS_ROWS", "ROWS_PER_BYTE", "Buffer", "Struct", "check_pages"]

Buffer: TypeAlias = bytes | mmap.mmap
Struct: TypeAlias = dict[int, Any]

ALWAYS_ROWS = 10_000_000
ROWS_PER_BYTE = 32
"""The most rows that a file may declare: ``ALWAYS_ROWS``, or this many for each of its bytes.

Equal rows take next to no space, so a small file can declare more of them than fit into memory.
Interactions differ from each other: each takes some bytes."""

_MAGIC = b"PAR1"
_DEEPEST = 32
_LARGEST_FOOTER = 16 << 20

# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Fields of Parquet's structs, by their numbers.
_ROWS = 3  # of the file and of a row group
_ROW_GROUPS = 4  # of the file
_COLUMNS = 1  # of a row group
_META_DATA = 3  # of a column
_VALUES, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 5, 7, 9, 11  # of its metadata
_PAGE_UNPACKED, _PAGE_PACKED = 2, 3  # of a page
_DATA_PAGES, _DICTIONARY_PAGE = (5, 8), 7  # of a page: structs, whose field 1 counts the values
_COUNT = 1


def check_pages(file: SourceFile) -> None:
    """Check the headers of all pages of a Parquet file, and how many rows they declare.

    A file that does not end as Parquet files do is left to polars, which says so.

    Raises:
        DataError: a header is damaged, or declares more than its page can hold; or the file
            declares more rows than ``ALWAYS_ROWS`` and than ``ROWS_PER_BYTE`` for each byte.
    """
    with _buffer(file) as data:
        length = int.from_bytes(data[-8:-4], "little")
        if data[-4:] != _MAGIC or length + 8 > len(data):
            return
        try:
            if length > _LARGEST_FOOTER:
                raise ValueError("the footer is too long")
            footer, _ = _struct(data, len(data) - 8 - length)
            for group in footer[_ROW_GROUPS]:
                for column in group[_COLUMNS]:
                    _check_column(data, column[_META_DATA])
            rows = _declared_rows(footer)
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"{file.shown} cannot be read as Parquet: its headers are damaged; export the "
                "file again"
            ) from error
        size = len(data)
    most = max(ALWAYS_ROWS, ROWS_PER_BYTE * size)
    if rows > most:
        raise DataError(
            f"{file.shown} declares {rows:,} rows in {size:,} bytes; expected at most {most:,} "
            "(a file of equal rows can fill the memory); if they are real, export them as CSV"
        )


def _declared_rows(footer: Struct) -> int:
    """The most rows that any part of a footer declares; a list in a row counts its elements."""
    groups = footer[_ROW_GROUPS]
    columns: dict[int, int] = {}
    for group in groups:
        for number, column in enumerate(group[_COLUMNS]):
            columns[number] = columns.get(number, 0) + column[_META_DATA][_VALUES]
    return int(max(footer[_ROWS], sum(group[_ROWS] for group in groups), *columns.values(), 0))


def _check_column(data: Buffer, column: Struct) -> None:
    if column[_VALUES] == 0:
        return  # its offsets mean nothing, and nothing is read
    at = min(column[_DATA_OFFSET], column.get(_DICTIONARY_OFFSET) or column[_DATA_OFFSET])
    end = at + column[_COMPRESSED]
    if not 0 <= at <= end <= len(data):
        raise ValueError("a column is outside of the file")
    while at < end:
        page, at = _struct(data, at)
        packed, unpacked = page[_PAGE_PACKED], page[_PAGE_UNPACKED]
        if not 0 <= packed <= end - at:
            raise ValueError("a page is outside of its column")
        if not 0 <= unpacked <= max(ALWAYS_UNPACKED, HIGHEST_RATIO * packed):
            raise ValueError("a page unpacks to far more than it has")
        counts = [(page[kind][_COUNT], column[_VALUES]) for kind in _DATA_PAGES if kind in page]
        if _DICTIONARY_PAGE in page:
            # Each value of a dictionary takes a byte or more.
            counts.append((page[_DICTIONARY_PAGE][_COUNT], unpacked))
        if not all(0 <= count <= most for count, most in counts):
            raise ValueError("a page has more values than its column")
        at += packed


@contextmanager
def _buffer(file: SourceFile) -> Iterator[Buffer]:
    """The bytes of a file; those of a file on disk are not read before they are needed."""
    if isinstance(file.content, bytes):
        yield file.content
        return
    with file.open() as stream:
        if not os.fstat(stream.fileno()).st_size:
            yield b""  # an empty file cannot be mapped
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number has more than 64 bits")


def _struct(data: Buffer, at: int, depth: int = 0) -> tuple[Struct, int]:
    """The fields of a struct by their numbers, and the position after it."""
    if depth > _DEEPEST or at < 0:
        raise ValueError("structs nest too deep")
    fields: Struct = {}
    number = 0
    while head := data[at]:
        at += 1
        kind, step = head & 0x0F, head >> 4
        if step:
            number += step
        else:
            encoded, at = _varint(data, at)
            number = _signed(encoded)
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: Buffer, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        encoded, at = _varint(data, at)
        return _signed(encoded), at
    if kind == _BINARY:
        length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("a text is longer than the file")
        return None, at + length  # no text is needed
    if kind in (_TRUE, _FALSE, _BYTE):  # an element of a list
        return data[at], at + 1
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind in (_LIST, _SET):
        head = data[at]
        count, at = (head >> 4, at + 1) if head >> 4 < 15 else _varint(data, at + 1)
        return _values(data, at, count, [head & 0x0F], depth)
    if kind == _MAP:
        count, at = _varint(data, at)
        kinds = [data[at] >> 4, data[at] & 0x0F] if count else []
        return _values(data, at + bool(count), count, kinds, depth)
    raise ValueError(f"there is no type {kind}")


def _values(
    data: Buffer, at: int, count: int, kinds: Sequence[int], depth: int
) -> tuple[list[Any], int]:
    if depth > _DEEPEST or count > len(data):
        raise ValueError("a list is longer than the file")
    found = []
    for _ in range(count):
        for kind in kinds:
            value, at = _value(data, at, kind, depth + 1)
            found.append(value)
    return found, at


def _signed(encoded: int) -> int:
    """A signed number from its zigzag code."""
    return (encoded >> 1) ^ -(encoded & 1)
