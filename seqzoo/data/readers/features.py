"""Read columns of events that a model may use: text as codes, numbers as float32."""

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.data.codes import Encoder
from seqzoo.data.features import FeatureColumn
from seqzoo.data.readers.tables import Table
from seqzoo.errors import DataError, nearest

__all__ = ["FeatureReader"]

_MISSING = ""


class FeatureReader:
    """One column, read chunk by chunk.

    In a text file a column holds numbers if all of its values are numbers. The first chunk decides.
    """

    def __init__(self, head: Table, name: str) -> None:
        """Find the column.

        Raises:
            DataError: there is no column of this name, or its type is neither text nor numbers.
        """
        schema = head.frame.schema
        if name not in schema:
            raise DataError(
                f"{head.file.shown}: there is no column '{name}' for data.features"
                f"{nearest(name, list(schema)) or ';'} columns: {', '.join(schema)}"
            )
        dtype = schema[name]
        self.name = name
        self._numbers: bool | None = None
        if dtype.is_numeric() or dtype == pl.Boolean:
            self._numbers = True
        elif dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise DataError(
                f"{head.file.shown}: the column '{name}' holds {dtype}; a feature is text or a "
                "number"
            )
        self._encoder = Encoder()
        # The first code stands for a missing value.
        self._encoder.encode(pl.Series([_MISSING], dtype=pl.String))
        self._parts: list[npt.NDArray[np.float32] | npt.NDArray[np.int32]] = []

    def read(self, table: Table) -> None:
        """Take the values of one chunk.

        Raises:
            DataError: a value is missing or is not a number; names the row.
        """
        values = table.frame[self.name]
        if self._numbers is None or (self._numbers and values.dtype == pl.String):
            numbers = values.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
            if self._numbers is None:
                self._numbers = bool(numbers.is_not_null().all())
        else:
            numbers = values.cast(pl.Float64) if self._numbers else values
        if not self._numbers:
            text = values.cast(pl.String).fill_null(_MISSING)
            self._parts.append(self._encoder.encode(text))
            return
        found = numbers.cast(pl.Float32)
        wrong = found.is_null() | ~found.is_finite().fill_null(value=False)
        if wrong.any():
            row = wrong.arg_max() or 0
            raise DataError(
                f"{table.location(row)}: the feature '{self.name}' is {values[row]!r}; expected a "
                "finite number in every row, as in those before"
            )
        self._parts.append(found.to_numpy())

    def column(self) -> FeatureColumn:
        """The whole column."""
        values = np.concatenate(self._parts)
        return FeatureColumn(values, None if self._numbers else tuple(self._encoder.ids()[1:]))
