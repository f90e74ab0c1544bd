"""A head that scores with a table of its own, as in the authors' Caser."""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import Embedder
from seqzoo.parts.heads import TiedSoftmaxHead
from seqzoo_caser.config import UntiedSoftmaxConfig

__all__ = ["UntiedSoftmaxHead"]


class UntiedSoftmaxHead(TiedSoftmaxHead):
    """Scores ``hidden . output_table[item]``, plus a bias per item if ``output_bias`` is set.

    The model has two vectors for each item: that of the embedder, which is read in a history, and
    one that is scored with.
    """

    def __init__(self, config: UntiedSoftmaxConfig, embedder: Embedder) -> None:
        super().__init__(config, embedder)
        rows, width = embedder.item_table.shape
        self.output_table = nn.Parameter(torch.empty(rows, width))
        nn.init.normal_(self.output_table, 0.0, 1.0 / width)

    @property
    def table(self) -> Tensor:
        """The head's own table [V + 1, D]."""
        return self.output_table

    def rows(self, table: Tensor, items: slice | Tensor) -> Tensor:
        """Rows of the table. Its gradient is dense, even if that of the embedder is sparse."""
        return table[items]
