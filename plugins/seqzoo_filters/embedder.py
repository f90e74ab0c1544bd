"""An embedder that leaves positions, LayerNorm and dropout to the backbone."""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import Embedder, SequenceBatch, State
from seqzoo.parts.layers import INITIAL_STD
from seqzoo_filters.config import PlainEmbedderConfig

__all__ = ["PlainEmbedder"]


class PlainEmbedder(Embedder):
    """The item vector of each event, as it is in the table."""

    takes_mask = True

    def __init__(self, config: PlainEmbedderConfig, num_items: int) -> None:
        super().__init__()
        self.item_table = nn.Parameter(torch.empty(num_items + 1, config.hidden_size))
        nn.init.normal_(self.item_table, 0.0, INITIAL_STD)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed all positions: [B, L, D]."""
        return self.look_up(batch.items)

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D]; there is no state."""
        return self.look_up(items), state
