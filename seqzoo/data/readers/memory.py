"""Tables in memory as data: data frames, Arrow tables, mappings of columns, lists of rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import polars as pl

from seqzoo.data.readers.sources import SourceFile
from seqzoo.data.readers.tables import Rows, rows_of_frame
from seqzoo.errors import DataError, UsageError

__all__ = [
    "EXPECTED_SOURCE",
    "IN_MEMORY",
    "ArrowTable",
    "InMemory",
    "is_in_memory",
    "rows_in_memory",
]

IN_MEMORY = "a table in memory"
"""The source of data in recipes and messages where a table in memory was given."""

EXPECTED_SOURCE = (
    "expected the name of a data set, a path, a polars or pandas DataFrame, an Arrow table, a "
    "mapping of columns, or a list of rows"
)

_ROW_COLUMNS = ("user", "item", "timestamp")


class ArrowTable(Protocol):
    """A table of any library that exports Arrow's C stream interface, as pyarrow does."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the columns."""


InMemory: TypeAlias = (
    pl.DataFrame
    | pl.LazyFrame
    | ArrowTable
    | Mapping[str, Any]
    | Sequence[Mapping[str, Any]]
    | Sequence[Sequence[Any]]
)


def is_in_memory(source: object) -> bool:
    """Whether a source is a table in memory."""
    if isinstance(source, str | bytes | Path):
        return False
    known = isinstance(source, pl.DataFrame | pl.LazyFrame | Mapping | Sequence)
    return known or _is_pandas(source) or hasattr(source, "__arrow_c_stream__")


def rows_in_memory(source: object) -> Rows:
    """Convert a table in memory, see :func:`is_in_memory`.

    Args:
        source: a polars DataFrame or LazyFrame, a pandas DataFrame (its index is ignored), an Arrow
            table, a mapping from names to columns, a list of mappings, or a list of rows
            ``(user, item, timestamp)`` or ``(user, item)``.

    Raises:
        DataError: the table is empty, or its columns do not fit together.
        UsageError: the rows are neither all mappings nor all of two or all of three values.
    """
    try:
        frame = _to_polars(source)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"the table in memory cannot be read: {(str(error).splitlines() or [''])[0]}; "
            f"{EXPECTED_SOURCE}"
        ) from error
    if frame.is_empty():
        raise DataError("the table in memory is empty; expected one interaction per row")
    return rows_of_frame(SourceFile("the table in memory", b""), frame, in_memory=True)


def _to_polars(source: Any) -> pl.DataFrame:
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if _is_pandas(source):
        columns = {str(name): column for name, column in source.items()}
        if len(columns) != source.shape[1]:
            raise DataError(
                "the table in memory has columns of the same name "
                f"({', '.join(map(str, source.columns))}); expected each name once"
            )
        return pl.DataFrame([_from_pandas(name, column) for name, column in columns.items()])
    if isinstance(source, Mapping) or hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source)
    named = [isinstance(row, Mapping) or hasattr(row, "_fields") for row in source]
    if all(named):
        return pl.DataFrame(source, infer_schema_length=None)
    width = len(source[0]) if isinstance(source[0], tuple | list) else 2
    for number, row in enumerate(source, start=1):
        if not isinstance(row, tuple | list) or len(row) != width or width not in (2, 3):
            raise UsageError(
                f"row {number} of the table in memory is {repr(row)[:60]}; expected all rows to be "
                "such as (user, item, timestamp), (user, item) in order, or "
                "{'user': …, 'item': …, 'timestamp': …}"
            )
    schema = list(_ROW_COLUMNS[:width])
    frame = pl.DataFrame(source, schema=schema, orient="row", infer_schema_length=None)
    # The order of pairs is that of the list; a column of this name is read as positions.
    return frame if width == len(_ROW_COLUMNS) else frame.with_row_index("position")


def _is_pandas(source: object) -> bool:
    """Whether an object is a pandas DataFrame, without importing pandas."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"
        for kind in type(source).__mro__
    )


def _from_pandas(name: str, column: Any) -> pl.Series:
    """Convert a column of pandas; polars itself needs pyarrow for most of them."""
    if str(column.dtype).startswith("datetime64["):
        if column.dt.tz is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        values = column.to_numpy()
        # Polars has no time unit of seconds.
        coarse = values.dtype == "datetime64[s]"
        return pl.Series(name, values.astype("datetime64[us]") if coarse else values)
    if column.dtype.kind in "iufb" and not hasattr(column.dtype, "na_value"):
        return pl.Series(name, column.to_numpy())
    values = column.astype(object).where(column.notna(), None).tolist()
    try:
        return pl.Series(name, values, strict=True)
    # Columns that are not needed may hold anything.
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        return pl.Series(name, values, dtype=pl.Object)
