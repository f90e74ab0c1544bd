"""Pairs of items, counted in blocks so that memory stays bounded.

Shapes in brackets: V items, K neighbours of an item, E pairs.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.sequences import Sequences

__all__ = ["LONGEST", "Floats", "Ints", "best_of_rows", "counted", "most_similar"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_BLOCK = 2**22
"""Number of pairs that are counted together."""
LONGEST = 1000
"""Distinct items of a user that count for similarities, the newest: pairs grow with the square."""


def counted(rows: npt.NDArray[Any], columns: npt.NDArray[Any], num_items: int) -> tuple[Any, ...]:
    """The different pairs of items with their numbers: rows, columns and counts, each [E], sorted.

    Args:
        rows: item indices (N,).
        columns: item indices (N,).
        num_items: the largest index V.
    """
    keys, counts = np.unique(rows.astype(np.int64) * (num_items + 1) + columns, return_counts=True)
    first, second = np.divmod(keys, num_items + 1)
    return first, second, counts.astype(np.int64)


def best_of_rows(
    rows: Ints, columns: Ints, values: Floats, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The K highest values of each row, highest first, as two arrays of a shape [R, K].

    Of equal values the lower column comes first. Unused entries hold column 0 and value 0.

    Args:
        rows: row of each value [E], sorted; columns within a row too.
        columns: column of each value [E].
        values: the values [E].
        shape: number of rows R, and K.
    """
    neighbours = np.zeros(shape, dtype=np.int32)
    weights = np.zeros(shape, dtype=np.float32)
    # float32 decides, as the stored values do.
    order = np.lexsort((-values.astype(np.float32), rows))
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = ranks < shape[1]
    chosen, cells = order[kept], (rows[kept], ranks[kept])
    neighbours[cells], weights[cells] = columns[chosen], values[chosen]
    return neighbours, weights


def most_similar(
    sequences: Sequences, num_items: int, neighbours: int, shrinkage: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The most similar items of every item and their similarities, both [V + 1, K].

    Args:
        sequences: the histories.
        num_items: size V of the vocabulary.
        neighbours: K.
        shrinkage: added to the denominator of the cosine.
    """
    shape = num_items + 1, neighbours
    indices, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    users, items = _distinct(sequences, num_items)
    popularity = np.bincount(items, minlength=num_items + 1)
    for first, last, rows, columns, counts in _shared_users(users, items, num_items):
        cosine = np.sqrt(popularity[rows].astype(np.float64) * popularity[columns])
        values = counts / (cosine + shrinkage)
        found = best_of_rows(rows - first, columns, values, (last - first, neighbours))
        indices[first:last], weights[first:last] = found
    return indices, weights


def _distinct(sequences: Sequences, num_items: int) -> tuple[Ints, Ints]:
    """Distinct pairs of user and item, sorted; only the newest of a long history."""
    lengths = sequences.lengths
    users = np.repeat(np.arange(len(lengths)), lengths)
    items = np.asarray(sequences.items, dtype=np.int64)
    if len(lengths) and lengths.max(initial=0) > LONGEST:
        ends = np.repeat(sequences.offsets[1:], lengths)
        newest = np.arange(len(items)) >= ends - LONGEST
        users, items = users[newest], items[newest]
    keys = np.unique(users * (num_items + 1) + items)
    first, second = np.divmod(keys, num_items + 1)
    return first, second


def _shared_users(
    users: Ints, items: Ints, num_items: int
) -> Iterator[tuple[int, int, Ints, Ints, Ints]]:
    """For ranges of items, the items that share users with them and how many users those are.

    Yields:
        The range's first item and the one after its last; rows, columns and counts [E], sorted.
    """
    lengths = np.bincount(users)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    by_item = np.argsort(items, kind="stable")
    owners = users[by_item]
    bounds = np.searchsorted(items[by_item], np.arange(num_items + 2))
    # Pairs up to each item: every user of an item pairs it with all of the user's items.
    pairs = np.concatenate([[0], np.cumsum(lengths[owners])])[bounds]
    first = 0
    while first <= num_items:
        last = int(np.searchsorted(pairs, pairs[first] + _BLOCK, side="right")) - 1
        last = min(max(last, first + 1), num_items + 1)
        block = slice(bounds[first], bounds[last])
        total = int(pairs[last] - pairs[first])
        if total:
            of_user = owners[block]
            counts = lengths[of_user]
            rows = np.repeat(items[by_item[block]] - first, counts)
            before = np.concatenate([[0], np.cumsum(counts)[:-1]])
            partners = items[np.arange(total) + np.repeat(starts[of_user] - before, counts)]
            keys = rows * (num_items + 1) + partners
            size = (last - first) * (num_items + 1)
            if size <= 4 * total:
                dense = np.bincount(keys, minlength=size)
                keys = np.flatnonzero(dense)
                numbers = dense[keys]
            else:
                keys, numbers = np.unique(keys, return_counts=True)
            found, columns = np.divmod(keys, num_items + 1)
            found = found + first
            others = found != columns
            yield first, last, found[others], columns[others], numbers[others]
        first = last
