"""The head ``item-knn``: items that the users of the newest items have interacted with too."""

import torch
from torch import Tensor

from seqzoo.data.sequences import Sequences
from seqzoo.interfaces import Embedder
from seqzoo_baselines.config import ItemKnnConfig
from seqzoo_baselines.head import Entries, NeighbourHead, item_counts
from seqzoo_baselines.pairs import most_similar

__all__ = ["ItemKnnHead"]

_TIE_BREAK = 1e-7


class ItemKnnHead(NeighbourHead):
    """The sum of the similarities to the newest items, with less weight for older ones.

    With n(i) users of item i and n(i, j) users of both items, the similarity is the cosine of their
    rows in the matrix of users and items (Deshpande and Karypis, 2004, equation 2), shrunk by c:
    ``n(i, j) / (sqrt(n(i) n(j)) + c)``. Each item keeps its ``neighbours`` most similar ones; of a
    user's newest items s_1 (the newest), s_2, ... the score is ``sum_m decay^(m-1) sim(s_m, i)``.
    Items without any such neighbour follow by popularity, which adds up to 1e-7.
    """

    def __init__(self, config: ItemKnnConfig, embedder: Embedder) -> None:
        super().__init__(config, embedder)
        self.shrinkage = config.shrinkage
        width = embedder.item_table.shape[1]
        self.decays: Tensor
        decays = config.decay ** torch.arange(width, dtype=torch.float32)
        self.register_buffer("decays", decays, persistent=False)

    def fit(self, sequences: Sequences) -> None:
        """Find the most similar items of every item."""
        neighbours, weights = most_similar(
            sequences, self.num_items, self.weights.shape[1], self.shrinkage
        )
        self.put("neighbours", neighbours)
        self.put("weights", weights)
        counts = item_counts(sequences.items, self.num_items)
        self.put("popularity", _TIE_BREAK * counts / (counts.max(initial=0) + 1))

    def entries(self, items: Tensor) -> tuple[Tensor, Entries | None]:
        """The neighbours of all newest items, weighted by age."""
        scale, _ = super().entries(items)
        return scale, self.neighbours_of(items, self.decays)
