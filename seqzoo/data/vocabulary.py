"""The vocabulary: item ids and their indices 1..V; index 0 is padding."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.features import Values
from seqzoo.data.item_index import item_indices
from seqzoo.errors import DataError, UnknownItemError, UsageError

__all__ = [
    "Vocabulary",
]

_SPELLING = re.compile(r"[\s_-]+")


class Vocabulary:
    """The items of a model, each with its index and, if known, its label and its popularity.

    Attributes:
        items: item ids as the data have them (V,); ``items[0]`` has index 1.
        labels: a title or None for each item (V,), or None if no item has a title.
        counts: the number of training interactions of each item (V,), or None if not known.
        features: for each feature of events that a model reads, the different values of its text,
            code 1 first, or None for numbers.
    """

    def __init__(
        self,
        items: Sequence[str],
        labels: Sequence[str | None] | None = None,
        counts: Sequence[int] | None = None,
        features: Mapping[str, Sequence[str] | None] | None = None,
    ) -> None:
        """Check the ids, labels and counts and store them.

        Args:
            items: V different, non-empty strings.
            labels: V titles (None for an item without one), or None.
            counts: V numbers of interactions, or None.
            features: for each feature of events the different values of its text, or None for
                numbers.

        Raises:
            DataError: there is no item, an id is not text, empty or repeated, or the labels or the
                counts have another length or type.
        """
        self.items: tuple[str, ...] = tuple(items)
        self.labels: tuple[str | None, ...] | None = None if labels is None else tuple(labels)
        self.counts = None if counts is None else _checked_counts(counts, len(self.items))
        self.features: dict[str, Values] = {
            name: None if values is None else tuple(values)
            for name, values in (features or {}).items()
        }
        if not self.items:
            raise DataError("the vocabulary has no items; expected at least one")
        if set(map(type, self.items)) != {str} or "" in self.items:
            _refuse_ids(self.items)
        self._indices = item_indices(self.items)
        if len(self._indices) < len(self.items):
            _refuse_ids(self.items)
        if self.labels is None:
            return
        if len(self.labels) != len(self.items):
            raise DataError(
                f"the vocabulary has {len(self.items)} items but {len(self.labels)} labels; "
                "expected one label (or null) for each item"
            )
        for index, label in enumerate(self.labels, start=1):
            if label is not None and not isinstance(label, str):
                raise DataError(
                    f"the vocabulary's label {index} is {label!r}; expected a string or null"
                )

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, item: object) -> bool:
        return item in self._indices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (self.items, self.labels, self.counts, self.features) == (
            other.items,
            other.labels,
            other.counts,
            other.features,
        )

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} items, {'with' if self.labels else 'no'} labels)"

    @cached_property
    def most_popular(self) -> npt.NDArray[np.int64]:
        """The indices of all items (V,), those with the most interactions first.

        Items with equal counts are in index order.

        Raises:
            UsageError: the counts are not known.
        """
        if self.counts is None:
            raise UsageError(
                "the model has no item counts, which say what is popular: its checkpoint was made "
                "without them; train it again with `seqzoo train`, or set them with "
                "model.vocabulary = model.vocabulary.with_counts(counts)"
            )
        return np.argsort(-np.asarray(self.counts), kind="stable") + 1

    def with_counts(self, counts: Sequence[int]) -> "Vocabulary":
        """The same items with these numbers of interactions (V,); raises as the constructor."""
        return Vocabulary(self.items, self.labels, counts, self.features)

    def with_features(self, features: Mapping[str, Sequence[str] | None]) -> "Vocabulary":
        """The same items with these features of events."""
        return Vocabulary(self.items, self.labels, self.counts, features)

    def index(self, item: str) -> int:
        """The index 1..V of an item id.

        Raises:
            UsageError: the id is not text.
            UnknownItemError: it is not in the vocabulary; the message shows an item that differs
                only in spelling, if there is one.
        """
        found = self._indices.get(_as_id(item))
        if found is None:
            raise UnknownItemError(
                f"item '{item}' is not among the {len(self)} items of the vocabulary"
                + self.suggestion(item)
            )
        return found

    def encode(self, items: Iterable[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Turn ids into indices, and separate unknown ids.

        Args:
            items: item ids, oldest first.

        Returns:
            The indices of the known ids in their order (K,), int32, and the unknown ids.

        Raises:
            UsageError: an id is not a string, or ``items`` is a string instead of a list of
                strings.
        """
        if isinstance(items, str):
            raise UsageError(
                f"the history is the string '{items}'; expected a list of item ids: ['{items}']"
            )
        given = list(items)
        try:
            found = list(map(self._indices.get, given))
        except TypeError:  # one of them cannot be hashed, so it is not text
            found = [None] * len(given)
        # Every known id is text.
        unknown = [_as_id(item) for item, index in zip(given, found, strict=True) if index is None]
        known = [index for index in found if index is not None]
        return np.asarray(known, dtype=np.int32), unknown

    def item(self, index: int) -> str:
        """The id of the item with an index 1..V.

        Raises:
            UsageError: the index is outside 1..V (0 is padding).
        """
        return self.items[self._position(index)]

    def label(self, index: int) -> str | None:
        """The label of the item with an index 1..V, or None.

        Raises:
            UsageError: the index is outside 1..V (0 is padding).
        """
        position = self._position(index)
        return None if self.labels is None else self.labels[position]

    def _position(self, index: int) -> int:
        if not 1 <= index <= len(self.items):
            raise UsageError(
                f"item index {index} is outside the vocabulary; expected 1 to {len(self)} "
                "(0 is padding)"
            )
        return int(index) - 1

    def suggestion(self, item: str) -> str:
        """A hint at the item that an unknown id probably means, or an empty string.

        It is the item with this title, or the one whose id differs only in case, blanks, hyphens,
        underscores or leading zeros. An id that is merely similar belongs to another item.
        """
        if self.labels is not None:
            wanted = item.casefold()
            for known, label in zip(self.items, self.labels, strict=True):
                if label is not None and label.casefold() == wanted:
                    return f"; did you mean '{known}', the id of '{label}'?"
        same = _bare(item)
        meant = next((known for known in self.items if same and _bare(known) == same), None)
        return "" if meant is None else f"; did you mean '{meant}'?"

    def to_json(self) -> dict[str, Any]:
        """The JSON form: ``{"items": […], "labels": […], "counts": […], "features": {…}}``.

        Without labels, counts or features there is no such key.
        """
        document: dict[str, Any] = {"items": list(self.items)}
        if self.labels is not None:
            document["labels"] = list(self.labels)
        if self.counts is not None:
            document["counts"] = list(self.counts)
        if self.features:
            document["features"] = {
                name: None if values is None else list(values)
                for name, values in self.features.items()
            }
        return document


def _refuse_ids(items: Iterable[object]) -> None:
    """Raise the error for the first id that is not text, is empty, or is repeated."""
    seen: set[str] = set()
    for index, item in enumerate(items, start=1):
        if not isinstance(item, str) or not item:
            raise DataError(
                f"the vocabulary's item {index} is {item!r}; expected a non-empty string"
            )
        if item in seen:
            raise DataError(
                f"the vocabulary has the item '{item}' more than once; expected each id once"
            )
        seen.add(item)


def _checked_counts(counts: Sequence[int], items: int) -> tuple[int, ...]:
    try:
        checked = tuple(operator.index(count) for count in counts)
    except TypeError as error:
        raise DataError(f"the vocabulary's counts: {error}; expected whole numbers") from None
    if len(checked) != items or min(checked, default=0) < 0:
        raise DataError(
            f"the vocabulary has {items} items and {len(checked)} counts, the smallest "
            f"{min(checked, default=0)}; expected one count of 0 or more for each item"
        )
    return checked


def _bare(item: str) -> str:
    """An id without the differences that typing often introduces."""
    return _SPELLING.sub("", item).casefold().lstrip("0")


def _as_id(item: object) -> str:
    if not isinstance(item, str):
        raise UsageError(
            f"item {item!r} is {type(item).__name__}; item ids are strings, as in the data: "
            f"'{item}'"
        )
    return item
