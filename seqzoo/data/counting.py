"""Counts and sorts of user and item codes.

Temporary arrays are made in blocks, because the number of interactions N may be a hundred million.
This module and those of sequences do not import polars, which a loaded model does not need.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bools",
    "Int32s",
    "Int64s",
    "blocks",
    "core_rows",
    "distinct_pairs",
    "frequencies",
    "rows_by_user",
]

Bools = npt.NDArray[np.bool_]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

_BLOCK = 1 << 22


def blocks(count: int) -> Iterator[slice]:
    """Slices that cover 0 to ``count`` in order."""
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def frequencies(codes: Int32s, size: int) -> Int64s:
    """How often each code 0..size-1 occurs (size,)."""
    found = np.zeros(size, dtype=np.int64)
    for part in blocks(len(codes)):
        found += np.bincount(codes[part], minlength=size)
    return found


def core_rows(users: Int32s, items: Int32s, counts: tuple[int, int], minimum: int) -> Bools | None:
    """The rows of the k-core (N,), or None if it has all of them.

    Args:
        users: the code of the user of each row (N,).
        items: the code of the item of each row (N,).
        counts: the numbers of users and items.
        minimum: k.
    """
    of_user, of_item = frequencies(users, counts[0]), frequencies(items, counts[1])
    left_users, left_items = users, items
    while True:
        stays = (of_user >= minimum)[left_users]
        stays &= (of_item >= minimum)[left_items]
        if stays.all():
            break
        gone = ~stays
        of_user -= frequencies(left_users[gone], counts[0])
        of_item -= frequencies(left_items[gone], counts[1])
        left_users, left_items = left_users[stays], left_items[stays]
    if len(left_users) == len(users):
        return None
    # A user or an item that falls below the minimum loses all rows in the next round.
    kept: Bools = (of_user > 0)[users] & (of_item > 0)[items]
    return kept


def distinct_pairs(users: Int32s, items: Int32s, num_items: int) -> int:
    """The number of different pairs of a user and an item among N rows."""
    if not len(users):
        return 0
    keys = users.astype(np.int64)
    keys *= num_items
    keys += items
    keys.sort()
    return 1 + int(np.count_nonzero(keys[1:] != keys[:-1]))


def rows_by_user(
    users: Int32s, order: Int64s, fractions: npt.NDArray[np.floating] | None
) -> Int64s:
    """The rows sorted by user, then by time, then by row (N,).

    Args:
        users: the code of the user of each row (N,).
        order: what orders the rows of a user (N,).
        fractions: what orders the rows of a user with the same ``order`` (N,), or None.
    """
    rows = _rows_by_time(order, fractions)
    keys = (users if rows is None else users[rows]).astype(np.int64)
    positions = _sort_with_position(keys)
    return positions if rows is None else rows[positions]


def _rows_by_time(order: Int64s, fractions: npt.NDArray[np.floating] | None) -> Int64s | None:
    """The rows sorted by time, then by row (N,); None if they are sorted already."""
    if fractions is not None:
        return np.lexsort((fractions, order))
    if (order[1:] >= order[:-1]).all():
        return None
    lowest, highest = order.min(), order.max()
    if order.dtype != np.int64 or (int(highest) - int(lowest)) >> (62 - len(order).bit_length()):
        return np.argsort(order, kind="stable")
    return _sort_with_position(order - lowest)


def _sort_with_position(keys: Int64s) -> Int64s:
    """A stable argsort of numbers of at least 0, which it overwrites.

    numpy sorts plain 64-bit numbers several times faster than it sorts indices, so each number
    carries its position in its low bits.
    """
    bits = len(keys).bit_length()
    keys <<= bits
    for part in blocks(len(keys)):
        keys[part] |= np.arange(part.start, part.stop)
    keys.sort()
    keys &= (1 << bits) - 1
    return keys
