"""The heads ``popular`` and ``recent-popular``."""

import numpy as np
import torch

from seqzoo.data.sequences import Sequences
from seqzoo.errors import TrainingError
from seqzoo.interfaces import Embedder
from seqzoo_baselines.config import PopularConfig, RecentPopularConfig
from seqzoo_baselines.head import CountingHead, item_counts

__all__ = ["PopularHead", "RecentPopularHead"]

_DAY = 86_400


class PopularHead(CountingHead):
    """The score of an item is the number of its interactions in training."""

    def __init__(self, config: PopularConfig, embedder: Embedder) -> None:
        super().__init__(config, embedder)

    def fit(self, sequences: Sequences) -> None:
        """Count the interactions of each item."""
        counts = item_counts(sequences.items, self.num_items)
        self.popularity.copy_(torch.from_numpy(counts))


class RecentPopularHead(CountingHead):
    """The score of an item is the number of its interactions in the last days of training.

    The days end with the newest training event. Equal items are ordered by all of their
    interactions, whose share of the most popular item's, less than one, is added.
    """

    def __init__(self, config: RecentPopularConfig, embedder: Embedder) -> None:
        super().__init__(config, embedder)
        self.seconds = config.days * _DAY

    def fit(self, sequences: Sequences) -> None:
        """Count the interactions of each item in the period, and in all.

        Raises:
            TrainingError: the data have no timestamps.
        """
        if sequences.timestamps is None:
            raise TrainingError(
                "recent-popular needs timestamps and the data have none; train popular, or name "
                "their column with --time-col"
            )
        counts = item_counts(sequences.items, self.num_items)
        scores = counts / (counts.max(initial=0) + 1)
        if len(sequences.items):
            newest = int(sequences.timestamps.max())
            recent = np.asarray(sequences.timestamps) > newest - self.seconds
            scores = scores + item_counts(sequences.items[recent], self.num_items)
        self.popularity.copy_(torch.from_numpy(scores))
