"""The columns of a file of histories, which has one row per event or one row per user."""

from dataclasses import dataclass

import polars as pl

from seqzoo.data.readers.columns import (
    ITEM_NAMES,
    TIME_NAMES,
    USER_NAMES,
    check_different,
    choose_column,
    choose_optional,
    find_columns,
)
from seqzoo.data.readers.convert import choose_time
from seqzoo.data.readers.tables import Table
from seqzoo.errors import DataError

__all__ = ["HISTORY_NAMES", "Columns", "Layout", "find_layout", "is_list"]

HISTORY_NAMES = (("history", "histories", "itemhistory", "itemidlist", "itemsequence"),)
"""Names of a column that holds all items of a user, without punctuation and in lower case."""


@dataclass(frozen=True)
class Columns:
    """The columns that the user chose; None for those to be found by their names."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    history: str | None = None


@dataclass(frozen=True)
class Layout:
    """The columns of a file.

    Attributes:
        user: the column of the user ids.
        item: the column of the item ids: one in each row, or all of the user's.
        time: the column of the timestamps, or positions; None for the order of the rows or lists.
        has_times: whether ``time`` holds timestamps.
        whole: whether a row is a user with the whole history.
    """

    user: str
    item: str
    time: str | None
    has_times: bool
    whole: bool

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        return [column for column in (self.user, self.item, self.time) if column is not None]


def find_layout(head: Table, given: Columns) -> Layout:
    """The layout of a table, from the names and the types of its columns.

    A row is a user if a column of lists holds items (its name is one of ``HISTORY_NAMES`` or of
    the usual names of items), if a column of text has one of ``HISTORY_NAMES``, or if the column is
    chosen as ``history``. In text, ids are separated by blanks.

    Raises:
        DataError: a column is missing, ambiguous or of a wrong type.
        UsageError: a column is chosen for two roles.
    """
    schema = head.frame.schema
    user = choose_column(head, "user", given.user, USER_NAMES)
    history = given.history
    if history is None and given.item is None:
        lists = [name for name, dtype in schema.items() if is_list(dtype)]
        found = find_columns(lists, (HISTORY_NAMES[0], *ITEM_NAMES))
        found = found or find_columns(head.frame.columns, HISTORY_NAMES)
        history = found[0] if len(found) == 1 else None
    elif history is None and given.item and is_list(schema.get(given.item)):
        history = given.item
    if history is None:
        item = choose_column(head, "item", given.item, ITEM_NAMES)
        time, has_times = choose_time(head, given.time)
        check_different(head, user=user, item=item, time=time)
        return Layout(user, item, time, has_times, whole=False)
    history = choose_column(head, "history", history, HISTORY_NAMES)
    if not is_list(schema[history]) and schema[history] != pl.String:
        raise DataError(
            f"{head.file.shown}: the column '{history}' holds {schema[history]}; expected a list "
            "of item ids, or text with item ids separated by blanks"
        )
    time = None if given.time == "" else choose_optional(head, "time", given.time, TIME_NAMES)
    if time is not None and is_list(schema[time]) != is_list(schema[history]):
        if given.time is not None:
            raise DataError(
                f"{head.file.shown}: the column '{time}' holds {schema[time]} and '{history}' "
                f"{schema[history]}; expected one timestamp for each item, in the same form"
            )
        time = None
    check_different(head, user=user, history=history, time=time)
    return Layout(user, history, time, time is not None, whole=True)


def is_list(dtype: pl.DataType | None) -> bool:
    """Whether the values of a column are lists."""
    return isinstance(dtype, pl.List | pl.Array)
