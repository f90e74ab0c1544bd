"""Turn the table of a file into interactions."""

import logging
from collections.abc import Mapping

import polars as pl

from seqzoo.data.interactions import Interactions
from seqzoo.data.readers.columns import (
    ITEM_NAMES,
    LABEL_NAMES,
    POSITION_NAMES,
    TIME_NAMES,
    USER_NAMES,
    check_different,
    choose_column,
    choose_optional,
    find_columns,
)
from seqzoo.data.readers.formats import first_labels
from seqzoo.data.readers.text import Table
from seqzoo.data.readers.times import EXACT_IN_FLOAT, read_times
from seqzoo.errors import DataError

logger = logging.getLogger("seqzoo")


def to_interactions(
    table: Table,
    *,
    name: str,
    labels: Mapping[str, str],
    user_col: str | None,
    item_col: str | None,
    time_col: str | None,
    label_col: str | None,
) -> Interactions:
    """Choose the columns of a table and turn them into interactions.

    Args:
        table: the rows of the file.
        name: the name of the data in messages.
        labels: titles by item id from another file; a label column of the table overrides them.
        user_col: the column of users that the user chose, or None.
        item_col: the same for items.
        time_col: the same for timestamps; empty for the order of the rows.
        label_col: the same for titles.

    Raises:
        DataError: a column is missing, ambiguous or of a wrong type, a value is missing or is not a
            timestamp, or there is only one user.
    """
    user_col = choose_column(table, "user", user_col, USER_NAMES)
    item_col = choose_column(table, "item", item_col, ITEM_NAMES)
    chose_labels = label_col is not None
    label_col = choose_optional(table, "label", label_col, LABEL_NAMES)
    time_col, has_times = _choose_time(table, time_col)
    check_different(table, user=user_col, item=item_col, time=time_col)

    if label_col is not None and not _can_be_text(table.frame.schema[label_col]):
        holds = (
            f"{table.file.shown}: the column '{label_col}' holds {table.frame.schema[label_col]}"
        )
        if chose_labels:
            raise DataError(f"{holds}; expected titles as text")
        logger.warning(
            "%s: items have no titles (choose a column of text: %sCOLUMN)",
            holds,
            table.column_option("label"),
        )
        label_col = None
    users = _ids(table, "user", user_col)
    items = _ids(table, "item", item_col)
    frame = pl.DataFrame({"user": users, "item": items})
    if time_col is None:
        frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("order"))
    else:
        seconds, fractions = read_times(table, time_col)
        frame = frame.with_columns(seconds.alias("order"))
        if (fractions > 0).any():
            frame = frame.with_columns(fractions.alias("fraction"))
    if (frame["user"] == frame["user"][0]).all():
        raise DataError(
            f"{table.file.shown} has only one user, '{frame['user'][0]}', in its column "
            f"'{user_col}'; expected several: if the users are in another column, name it: "
            f"{table.column_option('user')}COLUMN"
        )
    if label_col is not None:
        titles = pl.DataFrame({"item": items, "label": table.frame[label_col].cast(pl.String)})
        labels = {**labels, **first_labels(titles)}
    return Interactions.from_frame(frame, labels=labels, name=name, has_times=has_times)


def _choose_time(table: Table, given: str | None) -> tuple[str | None, bool]:
    """The column that orders the rows (None keeps their order), and whether it holds timestamps."""
    if given == "":
        return None, False
    columns = table.frame.columns
    if given is None and not find_columns(columns, TIME_NAMES):
        position = choose_optional(table, "position", None, POSITION_NAMES)
        if position is not None:
            return position, False
    hint = f', or keep the order of the rows: {table.column_option("time")}""'
    column = choose_column(table, "time", given, TIME_NAMES, hint=hint)
    is_position = column in find_columns(columns, POSITION_NAMES)
    return column, not is_position


def _ids(table: Table, role: str, column: str) -> pl.Series:
    """A column of ids as text."""
    ids = table.frame[column]
    if ids.dtype != pl.String:
        if not _can_be_text(ids.dtype):
            raise DataError(
                f"{table.file.shown}: the column '{column}' holds {ids.dtype}; expected the ids "
                f"of the {role}s as text or numbers"
            )
        if ids.dtype.is_float():
            # 1.0 is the id "1": missing values turn integer columns into floats.
            is_whole = ids.is_finite() & (ids == ids.floor()) & (ids.abs() <= EXACT_IN_FLOAT)
            whole = pl.select(pl.when(is_whole).then(ids)).to_series()
            others = ids.fill_nan(None).cast(pl.String)
            ids = pl.select(pl.coalesce(whole.cast(pl.Int64).cast(pl.String), others)).to_series()
        else:
            ids = ids.cast(pl.String)
    missing = ids.is_null() | (ids == "")
    if missing.any():
        row = missing.arg_max() or 0
        raise DataError(
            f"{table.location(row)}: the {role} is missing (column '{column}'); "
            "expected an id in every row"
        )
    return ids


def _can_be_text(dtype: pl.DataType) -> bool:
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object, pl.Duration)
