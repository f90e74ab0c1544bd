"""Times from text, numbers or dates to whole unix seconds, exact in 64 bits."""

from datetime import datetime, timedelta, timezone

import polars as pl

from seqzoo.data.readers.text import Table
from seqzoo.errors import DataError

# Whole numbers beyond this are no longer exact in a float64.
_EXACT_IN_FLOAT = 2.0**53

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_EXPECTED = "expected unix seconds (978300760) or an ISO date (2001-01-01T00:12:40Z)"


def read_times(table: Table, column: str) -> pl.Series:
    """Turn a column into int64 unix seconds.

    Whole numbers are kept exactly; a number written as a float (``9.783e8``, ``978300760.0``) is
    taken where it is whole, and rounded down where it has a fraction of a second. ISO dates
    without a zone are UTC. The first value decides whether the column holds numbers or dates.

    Raises:
        DataError: a value is missing or is neither; with its line.
    """
    values = table.frame[column]
    if values.null_count():
        row = values.is_null().arg_max() or 0
        raise DataError(f"{table.place(row)}: the column '{column}' has no value; {_EXPECTED}")
    dtype = values.dtype
    if dtype == pl.String:
        return _from_text(table, column, values.str.strip_chars())
    if dtype.is_integer():
        return _checked(table, column, values, values.cast(pl.Int64, strict=False))
    if dtype.is_float():
        return _checked(table, column, values, _floor(values))
    if dtype == pl.Date:
        values = values.cast(pl.Datetime("us"))
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.epoch("s")
    raise DataError(f"{table.file.shown}: the column '{column}' holds {dtype}; {_EXPECTED}")


def _from_text(table: Table, column: str, values: pl.Series) -> pl.Series:
    whole = values.cast(pl.Int64, strict=False)
    if not whole.null_count():
        return whole
    as_float = _floor(values.cast(pl.Float64, strict=False))
    numbers = pl.select(pl.coalesce(whole, as_float)).to_series()
    if numbers[0] is None and _seconds(values[0]) is not None:
        return _checked(table, column, values, _from_dates(values))
    return _checked(table, column, values, numbers)


def _floor(values: pl.Series) -> pl.Series:
    """Round down to whole numbers; null for what is not finite or not exact."""
    exact = values.is_finite() & (values.abs() <= _EXACT_IN_FLOAT)
    return pl.select(pl.when(exact).then(values.floor())).to_series().cast(pl.Int64, strict=False)


def _from_dates(values: pl.Series) -> pl.Series:
    texts = values.unique()
    seconds = pl.Series([_seconds(text) for text in texts.to_list()], dtype=pl.Int64)
    known = pl.DataFrame({"text": texts, "seconds": seconds})
    frame = pl.DataFrame({"text": values})
    return frame.join(known, on="text", how="left", maintain_order="left")["seconds"]


def _seconds(text: str) -> int | None:
    """The whole unix seconds of an ISO date, rounded down, or None where it is none."""
    # Python 3.10 does not know the zone "Z".
    if text[-1:] in ("Z", "z"):
        text = text[:-1] + "+00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(seconds=1)


def _checked(table: Table, column: str, values: pl.Series, seconds: pl.Series) -> pl.Series:
    if seconds.null_count():
        row = seconds.is_null().arg_max() or 0
        raise DataError(
            f"{table.place(row)}: the {column} '{values[row]}' is not a time; {_EXPECTED}"
        )
    return seconds
