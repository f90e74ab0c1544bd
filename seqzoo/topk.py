"""The best of many scores that come in blocks of columns, never all of them at once.

Equal scores are ordered by position, the lowest first, for any size of the blocks.
"""

from collections.abc import Iterable
from functools import cached_property

import torch
from torch import Tensor

__all__ = [
    "Pairs",
    "top_of_blocks",
]


class Pairs:
    """Pairs of a row and a column, to be read one block of columns at a time.

    Args:
        rows: row indices [E].
        columns: column indices [E].
    """

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        self._rows, self._columns = rows, columns
        self._largest = int(columns.max()) if len(columns) else -1

    @cached_property
    def _by_column(self) -> tuple[Tensor, Tensor]:
        columns, order = self._columns.sort()
        return self._rows[order], columns

    def within(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Rows, and columns counted from ``start``, of the pairs in columns start to stop."""
        if start == 0 and stop > self._largest:
            return self._rows, self._columns
        rows, columns = self._by_column
        first, last = torch.searchsorted(
            columns, torch.tensor([start, stop], device=columns.device)
        ).tolist()
        return rows[first:last], columns[first:last] - start


def top_of_blocks(
    blocks: Iterable[tuple[int, Tensor]], k: int, exclude: Pairs | None = None
) -> tuple[Tensor, Tensor]:
    """The ``k`` highest scores of each row, highest first; NaN counts as the highest.

    Args:
        blocks: the first column of each block and its scores [B, n], which are overwritten.
        k: number of columns to choose.
        exclude: pairs whose score becomes ``-inf``.

    Returns:
        Scores and columns, both [B, k], or with all columns if they are fewer.
    """
    best: tuple[Tensor, Tensor] | None = None
    for start, scores in blocks:
        if exclude is not None:
            scores[exclude.within(start, start + scores.shape[1])] = -torch.inf
        if best is None:
            values, columns = _top(scores, k)
            best = values, columns + start
            continue
        if best[0].shape[1] < k:
            better = torch.arange(len(scores), device=scores.device)
        else:
            # Not `>`, which is false for NaN. An equal score has a higher position: it loses.
            better = (~(scores.amax(1) <= best[0][:, -1])).nonzero()[:, 0]
            if not len(better):
                continue
        values, columns = _top(scores if len(better) == len(scores) else scores[better], k)
        values = torch.cat([best[0][better], values], dim=1)
        columns = torch.cat([best[1][better], columns + start], dim=1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        columns = columns.gather(1, order)
        if len(better) == len(scores):
            best = values[:, :k], columns[:, :k]
        else:
            best[0][better], best[1][better] = values[:, :k], columns[:, :k]
    if best is None:
        raise ValueError("no blocks of scores")
    return best


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` highest scores of each row [B, n], with equal scores in the order of columns."""
    if k >= scores.shape[1]:
        values, columns = scores.sort(dim=1, descending=True, stable=True)
        return values, columns
    values, columns = scores.topk(k + 1, dim=1)
    equal = values[:, 1:] == values[:, :-1]
    if not bool(equal.any()):
        return values[:, :k], columns[:, :k]
    tied = equal[:, -1] & (values[:, k] > -torch.inf)
    columns, order = columns[:, :k].sort(dim=1)
    values, best = values[:, :k].gather(1, order).sort(dim=1, descending=True, stable=True)
    columns = columns.gather(1, best)
    # topk returns any of the scores that tie with the last one: take the first ones.
    for row in tied.nonzero()[:, 0].tolist():
        last = values[row, -1]
        above = int((values[row] != last).sum())
        columns[row, above:] = (scores[row] == last).nonzero()[: k - above, 0]
    return values, columns
