"""FuXi-Linear's embedder: scaled item vectors plus learned absolute positions."""

import math

import torch
from torch import Tensor, nn

from seqzoo.parts.embedders import PositionEmbedder
from seqzoo.parts.layers import INITIAL_STD
from seqzoo_fuxi_linear.config import FuxiEmbedderConfig

__all__ = ["FuxiEmbedder"]


class FuxiEmbedder(PositionEmbedder):
    """``Dropout(sqrt(D) E[item] + P[position])``; positions count from the oldest event read."""

    def __init__(self, config: FuxiEmbedderConfig, num_items: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.max_length = config.max_length
        self.scale = math.sqrt(width)
        self.item_table = nn.Parameter(torch.empty(num_items + 1, width))
        self.position_table = nn.Parameter(torch.empty(config.positions, width))
        self.dropout = nn.Dropout(config.dropout)
        self.norm_order = "none"
        bound = 2.0 * INITIAL_STD
        nn.init.trunc_normal_(self.item_table, 0.0, INITIAL_STD, a=-bound, b=bound)
        nn.init.xavier_normal_(self.position_table)

    def item_vectors(self, items: Tensor) -> Tensor:
        """The scaled vectors of items: [...] -> [..., D]."""
        return self.scale * self.look_up(items)
