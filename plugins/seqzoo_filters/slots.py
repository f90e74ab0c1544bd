"""Histories in a window of ``max_length`` slots, as the published code pads them.

The newest event is in the last slot. A filter mixes all slots, including the empty ones on
the left. So their number must not depend on how far a batch is padded.

Shapes in brackets: B histories, L positions of the batch, M slots, D width.
"""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import SequenceBatch
from seqzoo.parts.layers import INITIAL_STD, check_length
from seqzoo_filters.config import FilterConfig

__all__ = ["Slots"]


class Slots(nn.Module):
    """Moves events to their slots and adds positions: ``Dropout(LN(event + position))``.

    An empty slot holds the learned vector ``padding`` in place of an event. In the published code
    that is row 0 of the item table, which a backbone does not see.
    """

    def __init__(self, config: FilterConfig) -> None:
        super().__init__()
        self.padding = nn.Parameter(torch.empty(config.hidden_size))
        self.position_table = nn.Parameter(torch.empty(config.max_length, config.hidden_size))
        for values in (self.padding, self.position_table):
            nn.init.normal_(values, 0.0, INITIAL_STD)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Fill the slots.

        Args:
            hidden: embedded events, padded on the right [B, L, D].
            batch: the batch, with their lengths.

        Returns:
            All slots [B, M, D], and True where a slot holds an event [B, M].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        slots = len(self.position_table)
        check_length(hidden.shape[1], slots, "the number of slots that are filtered")
        event = torch.arange(slots, device=hidden.device) + (batch.lengths - slots)[:, None]
        filled = event >= 0
        index = event.clamp(min=0)[..., None].expand(-1, -1, hidden.shape[2])
        window = torch.where(filled[..., None], hidden.gather(1, index), self.padding)
        return self.dropout(self.norm(window + self.position_table)), filled

    def restore(self, window: Tensor, batch: SequenceBatch) -> Tensor:
        """The slots of the events, padded on the right as the batch: [B, M, D] -> [B, L, D].

        Values in the padding have no meaning.
        """
        slots, length = window.shape[1], batch.items.shape[1]
        slot = torch.arange(length, device=window.device) + (slots - batch.lengths)[:, None]
        index = slot.clamp(max=slots - 1)[..., None].expand(-1, -1, window.shape[2])
        return window.gather(1, index)
