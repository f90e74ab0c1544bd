"""Read the features of items from a file or a table in memory.

Every column has a declared kind, or one that is inferred from its type and values:

- lists of numbers are a ``vector``, lists of text are ``categories``;
- numbers are a ``number``, truth values a ``category``;
- text that is numbers throughout is a ``number``, text such as ``[0.1, 0.2]`` a ``vector``, text
  whose parts between ``|`` occur ten times on average ``categories``; other text is a ``category``
  where each value occurs ten times on average, and ``text`` otherwise.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seqzoo.data.item_table import KINDS, FeatureColumn
from seqzoo.data.readers import formats
from seqzoo.data.readers.columns import ITEM_NAMES, find_columns
from seqzoo.data.readers.memory import IN_MEMORY, is_in_memory, rows_in_memory
from seqzoo.data.readers.panics import panics_as_errors
from seqzoo.data.readers.sources import Source, SourceFile, open_source
from seqzoo.errors import ConfigError, DataError, nearest, one_line

__all__ = ["read_item_features"]

_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_TEXT = (".csv", ".tsv", ".txt")
_REPEATED = 10
"""Text whose values occur at least this often on average is a category."""
_WIDEST = 8192


def read_item_features(
    source: Any, kinds: Mapping[str, str] | None = None, item_col: str | None = None
) -> tuple[list[str], list[FeatureColumn]]:
    """The item id of each row, and the columns.

    Args:
        source: a CSV, TSV, Parquet or JSON lines file, RecBole's ``.item`` file or its folder, or a
            table in memory.
        kinds: the kind by column; None takes all columns and infers their kinds.
        item_col: the column of item ids; by default the one with a common name.

    Raises:
        DataError: the file cannot be read, a column is missing, or a value is not of its kind.
        ConfigError: a kind is unknown.
    """
    for name, kind in (kinds or {}).items():
        if kind not in KINDS:
            raise ConfigError(
                f"item feature '{name}' is declared as '{kind}'{nearest(kind, KINDS) or ';'} "
                f"expected one of: {', '.join(KINDS)}"
            )
    shown, frame = _frame(source)
    item = _item_column(shown, frame, item_col)
    ids = frame[item].cast(pl.String)
    if ids.null_count():
        raise DataError(f"{shown}: row {(ids.is_null().arg_max() or 0) + 1} has no item id")
    names = list(kinds) if kinds else [name for name in frame.columns if name != item]
    if not names:
        raise DataError(f"{shown} has only the column {item}; expected columns of features too")
    columns = []
    for name in names:
        if name not in frame.columns:
            raise DataError(
                f"{shown} has no column '{name}' (data.item_columns); its columns are "
                f"{', '.join(frame.columns)}{nearest(name, frame.columns)}"
            )
        kind = (kinds or {}).get(name) or _kind_of(frame[name])
        columns.append(FeatureColumn(name, kind, _values(shown, frame[name], kind)))
    return ids.to_list(), columns


def _frame(source: Any) -> tuple[str, pl.DataFrame]:
    if is_in_memory(source):
        rows = rows_in_memory(source)
        return IN_MEMORY, rows.all(rows.head.frame.columns)
    opened = open_source(Path(source))
    name = opened.single or f"{opened.name}.item"
    if name not in opened:
        raise DataError(
            f"{opened.shown} holds no file {name}; name the file of the item features itself"
        )
    return opened.shown if opened.single else f"{opened.shown}/{name}", _table(opened, name)


def _table(opened: Source, name: str) -> pl.DataFrame:
    file, lower = opened[name], name.lower()
    if lower.endswith(_JSON_LINES):
        return _json_lines(file)
    if lower.endswith(_PARQUET):
        rows = formats.read_parquet(file)
    elif lower.endswith(".item"):
        rows = formats.read_atomic(file)
    elif lower.endswith(_TEXT):
        rows = formats.read_delimited(file)
    else:
        raise DataError(
            f"{file.shown}: the format of the file is unknown; expected .csv, .tsv, .parquet, "
            ".jsonl or RecBole's .item"
        )
    return rows.all(rows.head.frame.columns)


def _json_lines(file: SourceFile) -> pl.DataFrame:
    content = file.content
    try:
        with panics_as_errors():
            return pl.read_ndjson(content, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{file.shown} cannot be read as JSON lines: {one_line(error, 120)}; expected one "
            "object on each line"
        ) from error


def _item_column(shown: str, frame: pl.DataFrame, given: str | None) -> str:
    if given is not None and given in frame.columns:
        return given
    found = find_columns(frame.columns, ITEM_NAMES)
    if len(found) != 1:
        raise DataError(
            f"{shown}: no single column is recognised as the item column (columns: "
            f"{', '.join(frame.columns)}); rename it to item_id, or name it: --item-col COLUMN"
        )
    return found[0]


def _kind_of(column: pl.Series) -> str:
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        return "vector" if dtype.inner.is_numeric() else "categories"
    if dtype.is_numeric():
        return "number"
    if dtype != pl.String:
        return "category"
    values = column.drop_nulls()
    values = values.filter(values != "")
    if values.is_empty():
        return "text"
    if values.str.strip_chars().str.starts_with("[").all():
        return "vector"
    if not values.cast(pl.Float64, strict=False).null_count():
        return "number"
    parts = values.str.split("|").explode()
    # Titles may hold the sign too, but their parts do not repeat.
    if len(parts) > len(values) and len(parts) >= _REPEATED * parts.n_unique():
        return "categories"
    return "category" if len(values) >= _REPEATED * values.n_unique() else "text"


def _values(shown: str, column: pl.Series, kind: str) -> Any:
    if kind == "vector":
        return _vectors(shown, column)
    if kind == "number":
        return _numbers(shown, column)
    if kind == "categories":
        return tuple(_categories(shown, column))
    if isinstance(column.dtype, pl.List | pl.Array | pl.Struct | pl.Object):
        raise DataError(
            f"{shown}: column '{column.name}' is {column.dtype}; expected strings for a {kind}"
        )
    return tuple(column.cast(pl.String).fill_null("").to_list())


def _numbers(shown: str, column: pl.Series) -> Any:
    try:
        numbers = column.cast(pl.Float64, strict=False)
    except pl.exceptions.PolarsError:
        numbers = pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    wrong = numbers.is_null() & column.is_not_null()
    if column.dtype == pl.String:
        wrong &= column != ""
    wrong |= numbers.is_infinite().fill_null(value=False)
    if wrong.any():
        row = wrong.arg_max() or 0
        raise DataError(
            f"{shown}: row {row + 1} has {column[row]!r} in column '{column.name}'; expected a "
            "finite number, or declare another kind (data.item_columns)"
        )
    return numbers.fill_null(np.nan).to_numpy().astype(np.float64)


def _categories(shown: str, column: pl.Series) -> Sequence[tuple[str, ...]]:
    if column.dtype == pl.String:
        parts = [value.split("|") if value else [] for value in column.fill_null("").to_list()]
        return [tuple(part.strip() for part in each if part.strip()) for each in parts]
    if not isinstance(column.dtype, pl.List | pl.Array):
        raise DataError(
            f"{shown}: column '{column.name}' is {column.dtype}; expected lists of strings, or "
            "text such as a|b for categories"
        )
    lists = column.cast(pl.List(pl.String)).to_list()
    return [tuple(value for value in each or () if value) for each in lists]


def _vectors(shown: str, column: pl.Series) -> Any:
    values = column.to_list()
    width, rows = 0, []
    for number, value in enumerate(values, start=1):
        row = _vector(value)
        if row is None or (row and width and len(row) != width) or len(row) > _WIDEST:
            expected = f"{width} finite numbers" if width else f"at most {_WIDEST} finite numbers"
            raise DataError(
                f"{shown}: row {number} has {str(value)[:60]!r} in column '{column.name}'; "
                f"expected a vector of {expected}, as a list or as text such as [0.1, 0.2]"
            )
        width = width or len(row)
        rows.append(row)
    if not width:
        raise DataError(f"{shown}: column '{column.name}' holds no vector")
    return np.asarray([row or [0.0] * width for row in rows], dtype=np.float32)


def _vector(value: Any) -> list[float] | None:
    """A list of finite numbers; an empty one for no value; None for anything else."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        return None
    try:
        found = np.asarray(value, dtype=np.float32)
    except OverflowError:  # a whole number of more digits than a float has
        return None
    return value if np.isfinite(found).all() else None
