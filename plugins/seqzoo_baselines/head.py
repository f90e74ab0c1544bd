"""What the heads of the baselines share: sparse scores above a score by popularity.

Shapes in brackets: B user vectors, D newest items in each, V items, K neighbours of an item,
E entries.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqzoo.data.sequences import Sequences
from seqzoo.errors import CheckpointError, ConfigError, UsageError
from seqzoo.interfaces import Embedder, Head
from seqzoo.ops.exporting import exporting
from seqzoo_baselines.newest import ItemIndexEmbedder

__all__ = ["CountingHead", "Entries", "NeighbourHead", "item_counts"]

_BLOCK_SCORES = 2**21
_FEWEST_ITEMS = 2**10


class Entries(NamedTuple):
    """Scores to add to some items of some users: rows, item indices and values, each [E]."""

    rows: Tensor
    items: Tensor
    values: Tensor


class CountingHead(Head):
    """Scores ``scale_b * popularity_i``, plus what a subclass knows about some items of a user.

    So all scores of a user never need to be stored: they are made in blocks of items.
    """

    closed_form = True

    def __init__(self, config: Any, embedder: Embedder) -> None:
        super().__init__()
        if not isinstance(embedder, ItemIndexEmbedder):
            raise ConfigError(
                f"the head {type(self).__name__} reads item indices, which "
                f"{type(embedder).__name__} does not give; it works with the embedder 'item-index'"
            )
        self.num_items = len(embedder.indices) - 1
        self.popularity: Tensor
        self.register_buffer("popularity", torch.zeros(self.num_items + 1))

    @abstractmethod
    def fit(self, sequences: Sequences) -> None:
        """Count the training part."""

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Never called, because ``fit`` learns.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{type(self).__name__} learns by fit(), not by gradients")

    def similarity(self, item: int) -> Tensor | None:
        """How similar all items are to one [V + 1].

        Raises:
            UsageError: popularity says nothing about which items are similar.
        """
        raise UsageError(
            "this model knows how popular items are, not which are similar; item-knn does"
        )

    def entries(self, items: Tensor) -> tuple[Tensor, Entries | None]:
        """For newest items [B, D], the scale of each user's popularity term [B], and the rest."""
        return self.popularity.new_ones(items.shape[0]), None

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of all items: [..., D] -> [..., V + 1]."""
        if exporting():
            return self._exportable(hidden)
        blocks = [scores for _, scores in self.score_blocks(hidden.reshape(-1, hidden.shape[-1]))]
        return torch.cat(blocks, dim=1).reshape(*hidden.shape[:-1], -1)

    def score_blocks(
        self, hidden: Tensor, items: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Scores [B, n] of blocks of items, so that little memory is needed."""
        scale, entries = self.entries(self._indices(hidden))
        base = self.popularity if items is None else self.popularity[items]
        if entries is not None and items is not None:
            entries = _among(entries, items, self.num_items)
        size = max(_FEWEST_ITEMS, _BLOCK_SCORES // max(1, len(hidden)))
        if entries is not None and size < len(base):
            # Stable, so that the values of one score are added in the same order in any block.
            columns, order = entries.items.sort(stable=True)
            entries = Entries(entries.rows[order], columns, entries.values[order])
        for start in range(0, len(base), size):
            scores = torch.outer(scale, base[start : start + size])
            if entries is not None:
                first, last = 0, len(entries.items)
                if size < len(base):
                    bounds = torch.tensor([start, start + size], device=columns.device)
                    first, last = torch.searchsorted(columns, bounds).tolist()
                within = slice(first, last)
                index = entries.rows[within], entries.items[within] - start
                scores.index_put_(index, entries.values[within], accumulate=True)
            yield start, scores

    def _exportable(self, hidden: Tensor) -> Tensor:
        """``forward`` for any number of user vectors [B, D], which are not checked."""
        scale, entries = self.entries(hidden.long())
        scores = scale[:, None] * self.popularity
        if entries is None:
            return scores
        index = entries.rows, entries.items
        return torch.index_put(scores, index, entries.values, accumulate=True)

    def _indices(self, hidden: Tensor) -> Tensor:
        """The item indices in user vectors [B, D].

        Raises:
            UsageError: the vectors hold something else.
        """
        items = hidden.long()
        if not bool(((items == hidden) & (items >= 0) & (items <= self.num_items)).all()):
            raise UsageError(
                "the user vectors of this model hold the indices of the newest items, 0 to "
                f"{self.num_items:,}; others were given (model.encode(histories) makes them)"
            )
        return items


class NeighbourHead(CountingHead):
    """A head with up to K weighted neighbours of every item, in two arrays [V + 1, K].

    Entries without a neighbour hold item 0, which is padding, and weight 0.
    """

    def __init__(self, config: Any, embedder: Embedder) -> None:
        super().__init__(config, embedder)
        shape = self.num_items + 1, min(config.neighbours, self.num_items)
        self.neighbours: Tensor
        self.weights: Tensor
        self.register_buffer("neighbours", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(shape))
        self.register_load_state_dict_post_hook(_check_neighbours)  # type: ignore[no-untyped-call]

    def similarity(self, item: int) -> Tensor | None:
        """The weights of the item's neighbours [V + 1]; ``-inf`` for all other items."""
        scores = torch.full_like(self.popularity, -torch.inf)
        known = self.weights[item] > 0
        scores[self.neighbours[item][known].long()] = self.weights[item][known]
        return scores

    def neighbours_of(self, items: Tensor, weights: Tensor | None = None) -> Entries:
        """The neighbours of the items [B, n] of each user, with weights [n] for the columns."""
        values = self.weights[items]
        if weights is not None:
            values = values * weights[:, None]
        # Not `len`, which fixes the number of users when a model is traced.
        rows = torch.arange(items.shape[0], device=items.device)[:, None, None].expand_as(values)
        found = self.neighbours[items].long()
        return Entries(rows.flatten(), found.flatten(), values.flatten())

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        """Replace the content of a buffer."""
        buffer: Tensor = getattr(self, name)
        buffer.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _check_neighbours(head: NeighbourHead, _: Any) -> None:
    """Refuse loaded neighbours that are not items: reading them would leave the table."""
    found = head.neighbours
    if found.numel() and (int(found.min()) < 0 or int(found.max()) > head.num_items):
        raise CheckpointError(
            f"head.neighbours holds the item indices {int(found.min())} to {int(found.max())}, "
            f"expected 0 to {head.num_items}; fetch the checkpoint again"
        )


def _among(entries: Entries, items: Tensor, num_items: int) -> Entries:
    """Those of the entries that are about the items given, with positions for item indices."""
    positions = torch.full((num_items + 1,), -1, device=items.device)
    positions[items] = torch.arange(len(items), device=items.device)
    columns = positions[entries.items]
    kept = columns >= 0
    return Entries(entries.rows[kept], columns[kept], entries.values[kept])


def item_counts(items: npt.NDArray[Any], num_items: int) -> npt.NDArray[np.int64]:
    """The number of interactions of each item, padding included: [V + 1]."""
    return np.bincount(items, minlength=num_items + 1).astype(np.int64)
