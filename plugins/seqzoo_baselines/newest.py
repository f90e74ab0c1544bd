"""The user vector of the baselines: the item indices of the newest events, newest first.

Shapes in brackets: B histories in a batch, L positions, D = ``max_length`` newest events, V items.
float32 holds whole numbers up to 2^24 exactly, so the indices are exact.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.errors import ConfigError
from seqzoo.interfaces import Backbone, Embedder, SequenceBatch, State
from seqzoo_baselines.config import NewestItemsConfig

__all__ = ["MOST_ITEMS", "ItemIndexEmbedder", "NewestItems"]

MOST_ITEMS = 2**24 - 1


class ItemIndexEmbedder(Embedder):
    """The index of each event's item, repeated D times; the backbone replaces them by other events.

    Nothing is copied: all D columns are one in memory.
    """

    def __init__(self, config: NewestItemsConfig, num_items: int) -> None:
        super().__init__()
        if num_items > MOST_ITEMS:
            raise ConfigError(
                f"the catalogue has {num_items:,} items; the baselines hold item indices in "
                f"float32, which takes {MOST_ITEMS:,}"
            )
        self.width = config.max_length
        self.indices: Tensor
        indices = torch.arange(num_items + 1, dtype=torch.float32)
        self.register_buffer("indices", indices, persistent=False)

    @property
    def item_table(self) -> Tensor:  # type: ignore[override]
        """Row i holds i in every column [V + 1, D]."""
        return self._widened(self.indices)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Item indices [B, L, D]."""
        return self._widened(batch.items.to(self.indices.dtype))

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Item indices of one new event of each user: [B] -> [B, D]; there is no state."""
        return self._widened(items.to(self.indices.dtype)), state

    def _widened(self, values: Tensor) -> Tensor:
        return values.unsqueeze(-1).expand(*values.shape, self.width)


class NewestItems(Backbone):
    """The indices of the newest D items up to each position, newest first; 0 where there are fewer.

    The vector of position t is what the heads score with: ``[s_t, s_(t-1), ..., s_(t-D+1)]``.
    """

    causal = True
    streaming = True

    def __init__(self, config: NewestItemsConfig) -> None:
        super().__init__()
        self.nothing: Tensor
        self.register_buffer("nothing", torch.zeros(config.max_length), persistent=False)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        items = functional.pad(hidden[..., 0], (len(self.nothing) - 1, 0))
        return items.unfold(1, len(self.nothing), 1).flip(-1)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        slots = torch.arange(len(self.nothing), device=hidden.device)
        positions = batch.lengths[:, None] - 1 - slots
        items = hidden[..., 0].gather(1, positions.clamp_min(0))
        return items.masked_fill(positions < 0, 0)

    def initial_state(self, batch_size: int) -> State:
        """The newest items [B, D] of users without events: zeros."""
        return self.nothing.repeat(batch_size, 1)

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        newest = torch.cat([hidden[:, :1], state[:, :-1]], dim=1)
        return newest, newest
