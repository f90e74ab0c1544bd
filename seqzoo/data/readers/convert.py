"""Turn the table of a file into interactions."""

import logging
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.data.codes import Encoder
from seqzoo.data.counting import Int32s, Int64s
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
from seqzoo.data.readers.features import FeatureReader
from seqzoo.data.readers.formats import ItemTexts, first_labels
from seqzoo.data.readers.tables import Rows, Table
from seqzoo.data.readers.times import EXACT_IN_FLOAT, holds_dates, read_times
from seqzoo.errors import DataError

__all__ = ["Floats", "NumberT", "choose_time", "ids_of", "to_interactions"]

logger = logging.getLogger("seqzoo")

Floats = npt.NDArray[np.float64]
NumberT = TypeVar("NumberT", bound=np.generic)


def to_interactions(
    rows: Rows,
    *,
    name: str,
    items: ItemTexts,
    user_col: str | None,
    item_col: str | None,
    time_col: str | None,
    label_col: str | None,
    features: Sequence[str] = (),
) -> Interactions:
    """Choose the columns of a table and turn its rows into interactions, chunk by chunk.

    Args:
        rows: the rows of the file.
        name: the name of the data in messages.
        items: titles and categories by item id from another file; a label column of the table
            overrides its titles.
        user_col: the column of users that the user chose, or None.
        item_col: the same for items.
        time_col: the same for timestamps; empty for the order of the rows.
        label_col: the same for titles.
        features: names of further columns to read.

    Raises:
        DataError: a column is missing, ambiguous or of a wrong type, a value is missing or is not a
            timestamp, or there is only one user.
    """
    head = rows.head
    user_col = choose_column(head, "user", user_col, USER_NAMES)
    item_col = choose_column(head, "item", item_col, ITEM_NAMES)
    label_col = _choose_label(head, label_col)
    time_col, has_times = choose_time(head, time_col)
    check_different(head, user=user_col, item=item_col, time=time_col)

    chosen = {name: FeatureReader(head, name) for name in dict.fromkeys(features)}
    used = (user_col, item_col, time_col, label_col, *chosen)
    columns = list(dict.fromkeys(filter(None, used)))
    encoders = (Encoder(), Encoder())
    parts: tuple[list[Int32s], list[Int32s]] = ([], [])
    orders: list[Int64s] = []
    fractions: list[Floats] = []
    titles: dict[str, str] = {}
    dates: bool | None = None
    for table in rows.read(columns):
        ids = ids_of(table, "user", user_col), ids_of(table, "item", item_col)
        for encoder, values, part in zip(encoders, ids, parts, strict=True):
            part.append(encoder.encode(values))
        for reader in chosen.values():
            reader.read(table)
        if time_col is not None:
            dates = holds_dates(table.frame[time_col]) if dates is None else dates
            times = read_times(table, time_col, dates=dates)
            orders.append(times.seconds.to_numpy())
            fractions.append(times.fractions.to_numpy())
            if not fractions[-1].any():
                # A view of one zero takes no memory.
                fractions[-1] = np.broadcast_to(np.float64(0), len(ids[1]))
        if label_col is not None:
            texts = table.frame[label_col].cast(pl.String)
            found = first_labels(pl.DataFrame({"item": ids[1].cast(pl.String), "label": texts}))
            titles = {**found, **titles}
    user_ids, item_ids = (encoder.ids() for encoder in encoders)
    if len(user_ids) == 1:
        raise DataError(
            f"{head.file.shown} has only one user, '{user_ids[0]}', in its column "
            f"'{user_col}'; expected several: if the users are in another column, name it: "
            f"{head.column_option('user')}COLUMN"
        )
    has_fractions = any(part.any() for part in fractions)
    users_of_rows = _joined(parts[0])
    return Interactions(
        users=users_of_rows,
        items=_joined(parts[1]),
        order=_joined(orders) if time_col is not None else np.arange(len(users_of_rows)),
        fractions=_joined(fractions) if has_fractions else None,
        user_ids=user_ids,
        item_ids=item_ids,
        labels={**items.labels, **titles},
        categories=items.categories,
        name=name,
        has_times=has_times,
        features={name: reader.column() for name, reader in chosen.items()},
    )


def _joined(parts: list[npt.NDArray[NumberT]]) -> npt.NDArray[NumberT]:
    """The parts as one array; the list is emptied, so that both are in memory only briefly."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _choose_label(head: Table, given: str | None) -> str | None:
    """The column of titles, or None if there is none with text."""
    column = choose_optional(head, "label", given, LABEL_NAMES)
    if column is None or _can_be_text(head.frame.schema[column]):
        return column
    holds = f"{head.file.shown}: the column '{column}' holds {head.frame.schema[column]}"
    if given is not None:
        raise DataError(f"{holds}; expected titles as text")
    logger.warning(
        "%s: items have no titles (choose a column of text: %sCOLUMN)",
        holds,
        head.column_option("label"),
    )
    return None


def choose_time(table: Table, given: str | None) -> tuple[str | None, bool]:
    """The column that orders the rows (None keeps their order), and whether it holds timestamps.

    Raises:
        DataError: there is no such column, or several.
    """
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


def ids_of(table: Table, role: str, column: str) -> pl.Series:
    """A column of ids as text or whole numbers.

    Raises:
        DataError: the column cannot hold ids, or an id is missing; the message names its line.
    """
    ids = table.frame[column]
    dtype = ids.dtype
    if dtype != pl.String and not dtype.is_integer():
        if not _can_be_text(dtype):
            raise DataError(
                f"{table.file.shown}: the column '{column}' holds {dtype}; expected the ids "
                f"of the {role}s as text or numbers"
            )
        if dtype.is_float():
            # 1.0 is the id "1": missing values turn integer columns into floats.
            is_whole = ids.is_finite() & (ids == ids.floor()) & (ids.abs() <= EXACT_IN_FLOAT)
            whole = pl.select(pl.when(is_whole).then(ids)).to_series()
            others = ids.fill_nan(None).cast(pl.String)
            ids = pl.select(pl.coalesce(whole.cast(pl.Int64).cast(pl.String), others)).to_series()
        else:
            ids = ids.cast(pl.String)
    missing = ids.is_null()
    if ids.dtype == pl.String:
        missing |= ids == ""
    if missing.any():
        row = missing.arg_max() or 0
        raise DataError(
            f"{table.location(row)}: the {role} is missing (column '{column}'); "
            "expected an id in every row"
        )
    return ids


def _can_be_text(dtype: pl.DataType) -> bool:
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object, pl.Duration)
