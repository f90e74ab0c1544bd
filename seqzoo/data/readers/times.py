"""Timestamps from text, numbers or dates: whole unix seconds and the fraction of a second."""

import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import polars as pl

from seqzoo.data.readers.tables import Table
from seqzoo.errors import DataError

__all__ = ["EXACT_IN_FLOAT", "Timestamps", "holds_dates", "read_times", "unix_seconds"]

# Whole numbers beyond this are no longer exact in a float64.
EXACT_IN_FLOAT = 2.0**53

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_UNITS_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

# The fraction is parsed here: Python 3.10 takes only 3 or 6 digits, later versions drop all but 6.
_ISO_FRACTION = re.compile(r"(?P<before>.*\d\d:\d\d:\d\d)[.,](?P<digits>\d+)(?P<zone>.*)")

_EXPECTED = "expected unix seconds (978300760) or an ISO date (2001-01-01T00:12:40Z)"


class Timestamps(NamedTuple):
    """The timestamps of N rows: whole seconds, rounded down, and the fractions of a second.

    Attributes:
        seconds: unix seconds (N,), Int64.
        fractions: fractions of a second (N,), Float64, at least 0 and less than 1.
    """

    seconds: pl.Series
    fractions: pl.Series


def read_times(table: Table, column: str, *, dates: bool) -> Timestamps:
    """Turn a column into unix seconds.

    Whole numbers are kept exactly in 64 bits. Numbers with a fraction (``9.783e8``,
    ``978300760.25``) and ISO dates with one are rounded down, and their fraction is returned
    separately. ISO dates without a time zone are UTC.

    Args:
        table: some rows.
        column: the name of the column.
        dates: whether text holds dates instead of numbers, see :func:`holds_dates`.

    Raises:
        DataError: a value is missing, or is neither a number nor a date; the message names its
            line.
    """
    values = table.frame[column]
    if values.null_count():
        row = values.is_null().arg_max() or 0
        raise DataError(f"{table.location(row)}: the column '{column}' has no value; {_EXPECTED}")
    dtype = values.dtype
    if dtype == pl.String:
        values = values.str.strip_chars()
        found = _from_dates(values) if dates else _from_numbers(values)
    elif dtype.is_integer():
        found = _whole(values.cast(pl.Int64, strict=False))
    elif dtype.is_float():
        found = _from_floats(values.cast(pl.Float64))
    elif dtype == pl.Date:
        found = _from_datetimes(values.cast(pl.Datetime("us")), "us")
    elif isinstance(dtype, pl.Datetime):
        found = _from_datetimes(values, dtype.time_unit)
    else:
        raise DataError(f"{table.file.shown}: the column '{column}' holds {dtype}; {_EXPECTED}")
    if found.seconds.null_count():
        row = found.seconds.is_null().arg_max() or 0
        raise DataError(
            f"{table.location(row)}: the {column} '{values[row]}' is not a timestamp; {_EXPECTED}"
        )
    return found


def unix_seconds(text: str) -> int | None:
    """The unix seconds of a moment written as a number or as an ISO date; None for other text."""
    text = text.strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else _from_date(text)[0]


def holds_dates(values: pl.Series) -> bool:
    """Whether the first value of a column is text that is a date and not a number."""
    if values.dtype != pl.String or values[0] is None:
        return False
    first = values.head(1).str.strip_chars()
    return _from_numbers(first).seconds[0] is None and _from_date(first[0])[0] is not None


def _whole(seconds: pl.Series) -> Timestamps:
    return Timestamps(seconds, pl.zeros(len(seconds), dtype=pl.Float64, eager=True))


def _from_numbers(values: pl.Series) -> Timestamps:
    """Numbers written as text; null for every other text."""
    whole = values.cast(pl.Int64, strict=False)
    if not whole.null_count():
        return _whole(whole)
    # A decimal number is split at its point: as one float64 it would lose digits of the fraction.
    decimal = r"^([+-]?\d+)\.(\d*)$"
    before = values.str.extract(decimal, 1).cast(pl.Int64, strict=False)
    after = ("0." + values.str.extract(decimal, 2)).cast(pl.Float64, strict=False)
    falls = values.str.starts_with("-") & (after > 0)
    floats = _from_floats(values.cast(pl.Float64, strict=False))
    frame = pl.select(
        seconds=pl.coalesce(whole, before - falls.cast(pl.Int64), floats.seconds),
        fractions=pl.when(whole.is_not_null())
        .then(0.0)
        .otherwise(pl.coalesce(pl.when(falls).then(1.0 - after).otherwise(after), floats.fractions))
        .clip(0.0, 1.0 - 2.0**-53),
    )
    return Timestamps(frame["seconds"], frame["fractions"])


def _from_floats(values: pl.Series) -> Timestamps:
    """Null for numbers that are not finite or too large to be exact."""
    exact = values.is_finite() & (values.abs() <= EXACT_IN_FLOAT)
    values = pl.select(pl.when(exact).then(values)).to_series()
    floor = values.floor()
    return Timestamps(floor.cast(pl.Int64), values - floor)


def _from_datetimes(values: pl.Series, unit: str) -> Timestamps:
    units = values.to_physical()
    seconds = units // _UNITS_PER_SECOND[unit]
    rest = units - seconds * _UNITS_PER_SECOND[unit]
    return Timestamps(seconds, rest.cast(pl.Float64) / _UNITS_PER_SECOND[unit])


def _from_dates(values: pl.Series) -> Timestamps:
    """ISO dates written as text; null for every other text."""
    texts = values.unique()
    found = [_from_date(text) for text in texts.to_list()]
    schema = {"seconds": pl.Int64(), "fractions": pl.Float64()}
    known = pl.DataFrame(found, schema=schema, orient="row").with_columns(texts.alias("text"))
    frame = pl.DataFrame({"text": values})
    frame = frame.join(known, on="text", how="left", maintain_order="left")
    return Timestamps(frame["seconds"], frame["fractions"])


def _from_date(text: str) -> tuple[int | None, float]:
    """The whole unix seconds of an ISO date, None for other strings, and the fraction."""
    fraction = 0.0
    match = _ISO_FRACTION.fullmatch(text)
    if match is not None:
        text = match["before"] + match["zone"]
        fraction = min(float(f"0.{match['digits']}"), 1.0 - 2.0**-53)
    # Python 3.10 does not know the zone "Z".
    if text[-1:] in ("Z", "z"):
        text = text[:-1] + "+00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None, 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(seconds=1), fraction or moment.microsecond / 1e6
