"""The index of an item id: a dictionary, or for millions of ids a sorted array of their hashes."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["HashedIndices", "ItemIndices", "item_indices"]

_LARGE = 2**20
"""Number of ids from which memory matters more than the microsecond of a binary search."""


class ItemIndices(Protocol):
    """What finds the index 1..V of an id."""

    def __len__(self) -> int:
        """The number of different ids."""

    def __contains__(self, item: object) -> bool:
        """Whether an id is known."""

    def get(self, item: Any) -> int | None:
        """The index of an id, or None if it is unknown."""


def item_indices(items: Sequence[str]) -> ItemIndices:
    """The indices of ids, counted from 1."""
    if len(items) < _LARGE:
        return {item: index for index, item in enumerate(items, start=1)}
    return HashedIndices(items)


class HashedIndices:
    """Finds ids by binary search: 12 bytes for each, in addition to the ids themselves.

    Args:
        items: the ids (V,), which are not copied.
    """

    def __init__(self, items: Sequence[str]) -> None:
        self._items = items
        hashes = np.fromiter(map(hash, items), np.int64, len(items))
        order = hashes.argsort(kind="stable")
        self._hashes, self._order = hashes[order], order.astype(np.int32)
        same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1]) + 1
        self._different = len(items) - sum(map(self._is_repeated, same.tolist()))

    def __reduce__(self) -> tuple[Any, ...]:
        # Hashes of strings differ between processes.
        return HashedIndices, (self._items,)

    def __len__(self) -> int:
        return self._different

    def __contains__(self, item: object) -> bool:
        return self.get(item) is not None

    def get(self, item: Any) -> int | None:
        """The index 1..V of an id, or None if it is unknown."""
        hashed = hash(item)
        position = int(self._hashes.searchsorted(hashed))
        while position < len(self._hashes) and self._hashes[position] == hashed:
            index = int(self._order[position])
            if self._items[index] == item:
                return index + 1
            position += 1
        return None

    def _is_repeated(self, position: int) -> bool:
        """Whether an id occurs among those with the same hash before it."""
        item, hashed = self._items[self._order[position]], self._hashes[position]
        while position and self._hashes[position - 1] == hashed:
            position -= 1
            if self._items[self._order[position]] == item:
                return True
        return False
