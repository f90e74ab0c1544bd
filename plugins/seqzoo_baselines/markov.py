"""The head ``markov``: a Markov chain of order 1 that falls back on popularity."""

import numpy as np
import torch
from torch import Tensor

from seqzoo.data.sequences import Sequences
from seqzoo.interfaces import Embedder
from seqzoo_baselines.config import MarkovConfig
from seqzoo_baselines.head import Entries, NeighbourHead, item_counts
from seqzoo_baselines.pairs import best_of_rows, counted

__all__ = ["MarkovHead"]


class MarkovHead(NeighbourHead):
    """The probability of the next item, given the newest one.

    With n(j, i) transitions from item j to item i, n(j) from j to any item, and the share p(i) of
    item i in all interactions, the score is ``(n(j, i) + b p(i)) / (n(j) + b)``: counts smoothed by
    the prior b p (Zhai and Lafferty, 2004, section 3), so that items which never followed j are
    ordered by popularity. Only the ``neighbours`` most frequent n(j, i) are kept.
    """

    def __init__(self, config: MarkovConfig, embedder: Embedder) -> None:
        super().__init__(config, embedder)
        self.prior = config.backoff
        self.backoff: Tensor
        self.register_buffer("backoff", torch.zeros(self.num_items + 1))

    def fit(self, sequences: Sequences) -> None:
        """Count the transitions between neighbouring events."""
        items = sequences.items
        follows = np.ones(len(items), dtype=bool)
        starts = sequences.offsets[:-1]
        follows[starts[starts < len(items)]] = False
        later = np.flatnonzero(follows)
        rows, columns, counts = counted(items[later - 1], items[later], self.num_items)
        totals = np.bincount(rows, counts, self.num_items + 1)
        values = counts / (totals[rows] + self.prior)
        neighbours, weights = best_of_rows(
            rows, columns, values, (self.num_items + 1, self.weights.shape[1])
        )
        self.put("neighbours", neighbours)
        self.put("weights", weights)
        self.put("backoff", self.prior / (totals + self.prior))
        popularity = item_counts(items, self.num_items)
        self.put("popularity", popularity / max(1, len(items)))

    def entries(self, items: Tensor) -> tuple[Tensor, Entries | None]:
        """The weight of popularity after the newest item [B], and the items that followed it."""
        newest = items[:, 0]
        return self.backoff[newest], self.neighbours_of(newest[:, None])
