"""Ids as codes: 0, 1, … in order of first appearance.

A code of 32 bits replaces an id of any length.
"""

import numpy as np
import polars as pl

from seqzoo.data.counting import Int32s, blocks
from seqzoo.errors import DataError

__all__ = ["Encoder", "renumbered"]

_MOST_IDS = 2**31 - 2


class Encoder:
    """Gives each value of a column its code; the column may come in chunks of one type."""

    def __init__(self) -> None:
        self._known = pl.DataFrame(schema={"value": pl.Null(), "code": pl.Int32()})

    def encode(self, values: pl.Series) -> Int32s:
        """The codes of the values of one chunk, none of which is null (C,).

        Raises:
            DataError: there are more different values than 32 bits can count.
        """
        if self._known.is_empty():
            self._known = self._known.with_columns(pl.col("value").cast(values.dtype))
        chunk = pl.DataFrame({"value": values})
        codes = self._look_up(chunk)
        is_new = codes.is_null()
        if is_new.any():
            new = values.filter(is_new).unique(maintain_order=True)
            end = self._known.height + len(new)
            if end > _MOST_IDS:
                raise DataError(f"the data have more than {_MOST_IDS:,} different ids")
            numbers = pl.int_range(self._known.height, end, dtype=pl.Int32, eager=True)
            added = pl.DataFrame({"value": new, "code": numbers})
            self._known = pl.concat([self._known, added], rechunk=True)
            codes = self._look_up(chunk)
        return codes.to_numpy()

    def ids(self) -> pl.Series:
        """The different values as text, in the order of their codes."""
        return self._known["value"].cast(pl.String)

    def _look_up(self, chunk: pl.DataFrame) -> pl.Series:
        return chunk.join(self._known, on="value", how="left", maintain_order="left")["code"]


def renumbered(codes: Int32s, ids: pl.Series) -> tuple[Int32s, pl.Series]:
    """New codes by first appearance for some of the rows, and the ids that are left.

    Args:
        codes: the old code of each row (N,).
        ids: the ids in the order of the old codes.
    """
    first = np.full(len(ids), -1, dtype=np.int64)
    for part in reversed(list(blocks(len(codes)))):
        # Of several values for one position, numpy keeps the last: here that of the first row.
        first[codes[part][::-1]] = np.arange(part.start, part.stop)[::-1]
    present = np.flatnonzero(first >= 0)
    order = present[np.argsort(first[present], kind="stable")]
    new = np.full(len(ids), -1, dtype=np.int32)
    new[order] = np.arange(len(order), dtype=np.int32)
    return new[codes], ids.gather(order)
