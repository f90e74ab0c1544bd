"""The lists that a model recommends to all users, as metrics of lists read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.evaluation.held_out import HeldOut
from seqzoo.evaluation.protocol import Protocol
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue

__all__ = [
    "ItemCategories",
    "RecommendedLists",
    "list_metrics",
]

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ItemCategories:
    """The categories of the items 0..V; padding has none.

    Attributes:
        codes: the codes of the categories of all items, item after item (E,).
        offsets: item ``i`` has ``codes[offsets[i]:offsets[i + 1]]`` (V + 2,).
        names: the names of the categories (C,).
    """

    codes: Int64s
    offsets: Int64s
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, items: Sequence[str], categories: Mapping[str, Sequence[str]]
    ) -> "ItemCategories | None":
        """The categories of items by their ids; None if no item has one.

        Args:
            items: the ids of the items 1..V.
            categories: the names of the categories of some items.
        """
        sets = [sorted(set(categories.get(item, ()))) for item in items]
        names = sorted({name for each in sets for name in each})
        if not names:
            return None
        code = {name: number for number, name in enumerate(names)}
        codes = np.array([code[name] for each in sets for name in each], dtype=np.int64)
        offsets = np.concatenate([[0, 0], np.cumsum([len(each) for each in sets])])
        return cls(codes, offsets.astype(np.int64), tuple(names))

    @cached_property
    def table(self) -> npt.NDArray[np.bool_]:
        """Whether each item has each category (V + 1, C)."""
        found = np.zeros((len(self.offsets) - 1, len(self.names)), dtype=bool)
        found[np.repeat(np.arange(len(found)), np.diff(self.offsets)), self.codes] = True
        return found


@dataclass(frozen=True)
class RecommendedLists:
    """The lists of U users (or requests), and what is known about the items.

    Attributes:
        items: item indices 1..V, the best first (U, K); 0 where fewer items could be recommended.
        counts: number of interactions of each item 0..V in the training part (V + 1,).
        categories: the categories of the items, or None if the data have none.
    """

    items: Int64s
    counts: Int64s
    categories: ItemCategories | None = None

    def top(self, cutoff: int) -> Int64s:
        """The first ``cutoff`` items of each list (U, at most cutoff)."""
        return self.items[:, :cutoff]

    def frequencies(self, cutoff: int) -> Int64s:
        """The number of lists, cut off at ``cutoff``, in which each item 1..V appears (V,)."""
        return np.bincount(self.top(cutoff).ravel(), minlength=len(self.counts))[1:]


def list_metrics(
    items: npt.NDArray[np.int32], model: SequenceModel, held_out: HeldOut, protocol: Protocol
) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics of lists of a protocol, at each of its cutoffs: ``{"coverage@10": 0.4, …}``.

    A metric that has nothing to compute from returns None and is skipped.

    Args:
        items: the recommended items (U, K), see :class:`RecommendedLists`.
        model: the model that recommended them.
        held_out: what it is measured on.
        protocol: the protocol.

    Returns:
        The metrics; and what they were computed from: the number of ``lists``, the number of
        ``categories`` of items, ``categories_of`` the ``data`` or the ``checkpoint`` ("" without
        any), and the reason for each metric that was ``skipped``.
    """
    categories, source = _categories(model, held_out)
    lists = RecommendedLists(items.astype(np.int64), held_out.train_counts, categories)
    found: dict[str, float] = {}
    skipped = {}
    for name in protocol.list_metrics:
        metric = catalogue().metrics.get(name).load()
        values = {f"{name}@{cutoff}": metric(lists, cutoff) for cutoff in protocol.cutoffs}
        known = {key: float(value) for key, value in values.items() if value is not None}
        found |= known
        if not known:
            skipped[name] = (
                "neither the data nor the checkpoint have categories of items"
                if categories is None
                else "there is nothing to compute it from"
            )
    number = 0 if categories is None else len(categories.names)
    return found, {
        "lists": len(items),
        "categories": number,
        "categories_of": source,
        "skipped": skipped,
    }


def _categories(model: SequenceModel, held_out: HeldOut) -> tuple[ItemCategories | None, str]:
    """The categories of the model's items, and where they are from."""
    items = model.vocabulary.items
    # Those of the data come first: they are the same for all models that are compared on them.
    found = ItemCategories.of(items, held_out.data.categories)
    if found is not None:
        return found, "data"
    if model.item_features is not None:
        own = dict(zip(items, model.item_features.categories, strict=True))
        found = ItemCategories.of(items, own)
    return found, "" if found is None else "checkpoint"
