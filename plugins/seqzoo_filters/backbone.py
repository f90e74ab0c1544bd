"""What both backbones share: slots, a stack of blocks, and the feed-forward layer.

Shapes in brackets: B histories, L positions of the batch, M slots, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo.parts.layers import FeedForward, init_linear
from seqzoo_filters.config import FilterConfig
from seqzoo_filters.slots import Slots

__all__ = ["FilterBackbone", "FilterBlock", "feed_forward"]


def feed_forward(config: FilterConfig) -> FeedForward:
    """The feed-forward layer of a block: [..., D] -> [..., D]."""
    return FeedForward(config.hidden_size, config.inner_size, config.dropout, config.norm_eps)


class FilterBlock(nn.Module, ABC):
    """A block of a ``FilterBackbone``."""

    @abstractmethod
    def forward(self, window: Tensor, filled: Tensor) -> Tensor:
        """All slots: [B, M, D] -> [B, M, D]; ``filled`` [B, M] is True where there is an event."""

    @abstractmethod
    def last(self, window: Tensor, filled: Tensor) -> Tensor:
        """Only the last slot: [B, M, D] -> [B, D]."""


class FilterBackbone(Backbone):
    """Blocks one after another, which mix all slots.

    A filter is circular: the newest event changes the oldest slot. So only the newest position can
    be a training target, and there is no state to stream with.
    """

    causal = False
    streaming = False

    def __init__(self, config: FilterConfig, blocks: Iterable[FilterBlock]) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.slots = Slots(config)
        self.blocks = nn.ModuleList(blocks)
        init_linear(self)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        window, filled = self.slots(hidden, batch)
        for block in self.blocks:
            window = block(window, filled)
        return self.slots.restore(window, batch)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        The top block runs only for that event.

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        window, filled = self.slots(hidden, batch)
        *lower, top = (block for block in self.blocks if isinstance(block, FilterBlock))
        for block in lower:
            window = block(window, filled)
        return top.last(window, filled)
