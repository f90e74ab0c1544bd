"""Users with their histories, block by block, from rows of events or rows of users."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from seqzoo.data.readers.convert import ids_of
from seqzoo.data.readers.tables import Rows, Table
from seqzoo.data.readers.times import holds_dates, read_times
from seqzoo.data.sequences import SequenceData
from seqzoo.errors import DataError, UsageError
from seqzoo.serving.batch.buckets import Buckets
from seqzoo.serving.batch.layout import Layout, is_list
from seqzoo.validation import read_times as checked_times

__all__ = [
    "BLOCK",
    "Block",
    "blocks_of_buckets",
    "blocks_of_data",
    "blocks_of_events",
    "blocks_of_rows",
    "frames_of_events",
    "frames_of_users",
    "grouped_in_memory",
    "write_buckets",
]

BLOCK = 4096
"""Users whose recommendations are computed and written together."""

_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class Block:
    """Some users.

    Attributes:
        users: their ids [U], text or whole numbers.
        items: the item ids of each, oldest first.
        times: unix seconds of each event; None without timestamps.
        locate: where the user with a position in the block is, for messages.
        bucket: the bucket they come from; None for none.
    """

    users: pl.Series
    items: Sequence[Sequence[str]]
    times: Sequence[Sequence[int]] | None
    locate: Callable[[int], str]
    bucket: int | None = None


def blocks_of_rows(rows: Rows, layout: Layout) -> Iterator[Block]:
    """Blocks of a file that has one row per user, in the order of the file."""
    for frame in frames_of_users(rows, layout):
        yield from _blocks_of_users(frame, rows.head, layout, None)


def blocks_of_buckets(buckets: Buckets, head: Table, layout: Layout) -> Iterator[Block]:
    """Blocks of rows that were divided by user."""
    for bucket in range(buckets.count):
        frame = buckets.read(bucket)
        if frame is None:
            continue
        if layout.whole:
            yield from _blocks_of_users(frame, head, layout, bucket)
        else:
            for block in blocks_of_events(frame, head, layout):
                yield replace(block, bucket=bucket)


def blocks_of_data(data: SequenceData) -> Iterator[Block]:
    """Blocks of sequences, which may be mapped into memory."""
    sequences, ids = data.sequences, np.array(["", *data.vocabulary.items], dtype=object)
    for start in range(0, len(sequences), BLOCK):
        stop = min(start + BLOCK, len(sequences))
        parts = [slice(*sequences.offsets[user : user + 2]) for user in range(start, stop)]
        times = sequences.timestamps
        users = data.users[start:stop]
        yield Block(
            pl.Series(users, dtype=pl.String),
            [ids[sequences.items[part]].tolist() for part in parts],
            None if times is None else [times[part].tolist() for part in parts],
            lambda row, users=users: f"{data.name}: user '{users[row]}'",  # type: ignore[misc]
        )


def frames_of_events(rows: Rows, layout: Layout) -> Iterator[pl.DataFrame]:
    """The events of each chunk of a file: user, item and, with times, time and fraction."""
    dates: bool | None = None
    user_dtype: pl.DataType | None = None
    for table in rows.read(layout.columns):
        users = _users(table, layout.user, user_dtype)
        user_dtype = users.dtype
        columns = {"user": users, "item": ids_of(table, "item", layout.item).cast(pl.String)}
        if layout.time is not None:
            dates = holds_dates(table.frame[layout.time]) if dates is None else dates
            times = read_times(table, layout.time, dates=dates)
            columns |= {"time": times.seconds, "fraction": times.fractions}
        yield pl.DataFrame(columns)


def blocks_of_events(frame: pl.DataFrame, head: Table, layout: Layout) -> Iterator[Block]:
    """Blocks of events that are in memory; users come in the order of their first row."""
    frame = frame.with_row_index("row")
    frame = frame.with_columns(first=pl.col("row").min().over("user"))
    frame = frame.sort("first", *(["time", "fraction"] if layout.time else []), "row")
    times = [pl.col("time")] if layout.has_times else []
    grouped = frame.group_by("user", maintain_order=True).agg(pl.col("item"), *times)
    for start in range(0, grouped.height, BLOCK):
        part = grouped.slice(start, BLOCK)
        users = part["user"]
        yield Block(
            users,
            part["item"].to_list(),
            part["time"].to_list() if times else None,
            lambda row, users=users: f"{head.file.shown}: user '{users[row]}'",  # type: ignore[misc]
        )


def frames_of_users(rows: Rows, layout: Layout) -> Iterator[pl.DataFrame]:
    """The users of each chunk of a file: user, items, row and, with times, times."""
    user_dtype: pl.DataType | None = None
    before = 0
    for table in rows.read(layout.columns):
        users = _users(table, layout.user, user_dtype)
        user_dtype = users.dtype
        numbers = table.rows
        if numbers is None:
            numbers = pl.int_range(0, table.frame.height, eager=True)
        before += table.frame.height
        columns = {"user": users, "items": _items(table, layout.item), "row": numbers}
        if layout.time is not None:
            columns["times"] = _times(table, layout.time)
        yield pl.DataFrame(columns)


def _blocks_of_users(
    frame: pl.DataFrame, head: Table, layout: Layout, bucket: int | None
) -> Iterator[Block]:
    for start in range(0, frame.height, BLOCK):
        part = frame.slice(start, BLOCK)
        numbers = part["row"]

        def locate(row: int, numbers: pl.Series = numbers) -> str:
            return head.location(int(numbers[row]))

        items = [each or [] for each in part["items"].to_list()]
        times = None
        if layout.time is not None:
            times = [
                _checked(given or [], len(items[row]), row, locate)
                for row, given in enumerate(part["times"].to_list())
            ]
        yield Block(part["user"], items, times, locate, bucket)


def _checked(times: list[int], items: int, row: int, locate: Callable[[int], str]) -> list[int]:
    try:
        return checked_times(times, items)
    except UsageError as error:
        raise DataError(f"{locate(row)}: {error}") from None


def _users(table: Table, column: str, dtype: pl.DataType | None) -> pl.Series:
    users = ids_of(table, "user", column)
    users = users if users.dtype == pl.String else users.cast(pl.Int64)
    if dtype is not None and users.dtype != dtype:
        raise DataError(
            f"{table.location(0)}: the column '{column}' holds {users.dtype} from here on and "
            f"{dtype} before; expected the ids of all users as text, or all as numbers"
        )
    return users


def _items(table: Table, column: str) -> pl.Series:
    """The item ids of each row as lists of text."""
    values = _split(table.frame[column])
    inner = values.dtype.inner  # type: ignore[attr-defined]
    if inner != pl.String and not inner.is_integer() and inner != pl.Null:
        raise DataError(
            f"{table.file.shown}: the column '{column}' holds lists of {inner}; expected item ids "
            "as text or whole numbers"
        )
    values = values.cast(pl.List(pl.String))
    missing = values.list.eval(pl.element().is_null() | (pl.element() == "")).list.any()
    if missing.any():
        row = missing.fill_null(False).arg_max() or 0
        raise DataError(f"{table.location(row)}: the column '{column}' has an empty item id")
    return values


def _times(table: Table, column: str) -> pl.Series:
    """The unix seconds of each row as lists."""
    values = _split(table.frame[column])
    inner = values.dtype.inner  # type: ignore[attr-defined]
    if inner == pl.Date:
        values, inner = values.cast(pl.List(pl.Datetime("us"))), pl.Datetime("us")
    if isinstance(inner, pl.Datetime):
        each = pl.element().to_physical() // _SECOND[inner.time_unit]
    elif inner.is_float():
        each = pl.element().floor().cast(pl.Int64, strict=False)
    else:
        each = pl.element().cast(pl.Int64, strict=False)
    seconds = values.list.eval(each)
    missing = seconds.list.eval(pl.element().is_null()).list.any()
    if missing.any():
        row = missing.fill_null(False).arg_max() or 0
        raise DataError(
            f"{table.location(row)}: the column '{column}' holds something that is not unix "
            "seconds; expected one whole number for each item"
        )
    return seconds.cast(pl.List(pl.Int64))


def _split(values: pl.Series) -> pl.Series:
    """Lists as they are, and text split at blanks."""
    if not is_list(values.dtype):
        split = values.cast(pl.String).fill_null("").str.extract_all(r"\S+")
        return split.rename(values.name)
    inner = values.dtype.inner  # type: ignore[attr-defined]
    return values.cast(pl.List(inner))


def grouped_in_memory(rows: Rows, layout: Layout) -> Iterable[Block]:
    """The blocks of a table in memory."""
    if layout.whole:
        return blocks_of_rows(rows, layout)
    frame = pl.concat(frames_of_events(rows, layout))
    return blocks_of_events(frame, rows.head, layout)


def write_buckets(folder: Path, count: int, rows: Rows, layout: Layout) -> Buckets:
    """Divide the rows of a file by user."""
    buckets = Buckets(folder, count)
    frames = frames_of_users if layout.whole else frames_of_events
    buckets.write(frames(rows, layout))
    return buckets
