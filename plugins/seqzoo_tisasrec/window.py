"""The positions that a batch fills, in either order.

Shapes in brackets: B histories, L positions of the batch, T positions of the window, M positions
with vectors of their own, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

__all__ = ["Window", "from_oldest", "padded_on_the_left", "padded_on_the_right", "to_newest"]


@dataclass(frozen=True)
class Window:
    """Events at their positions.

    Attributes:
        hidden: embedded events [B, T, D]; 0 at positions without an event, if these can be read.
        times: times in units [B, T], int64.
        positions: numbers of the positions, 0 to M - 1: [T], or [B, T] if histories differ.
        newest: index of the newest event [B].
        filled: True at events [B, T], if positions without an event can be read; otherwise None,
            and causality hides them: they follow the events.
    """

    hidden: Tensor
    times: Tensor
    positions: Tensor
    newest: Tensor
    filled: Tensor | None = None

    def keep(self, hidden: Tensor) -> Tensor:
        """Vectors [B, T, D] with 0 at positions without an event, if these can be read."""
        return hidden if self.filled is None else hidden * self.filled[..., None]


def from_oldest(hidden: Tensor, times: Tensor, batch: SequenceBatch) -> Window:
    """Position 0 is that of the oldest event; T = L."""
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    return Window(hidden, times, positions, batch.lengths - 1)


def to_newest(hidden: Tensor, times: Tensor, batch: SequenceBatch, size: int) -> Window:
    """Position M - 1 is that of the newest event; T = L. ``size`` is M."""
    index = torch.arange(hidden.shape[1], device=hidden.device)
    positions = (index + (size - batch.lengths)[:, None]).clamp(max=size - 1)
    return Window(hidden, times, positions, batch.lengths - 1)


def padded_on_the_left(hidden: Tensor, times: Tensor, batch: SequenceBatch, size: int) -> Window:
    """All M positions, the newest event at the last: T = M. Empty ones have the time 0."""
    positions = torch.arange(size, device=hidden.device)
    event = positions + (batch.lengths - size)[:, None]
    filled, index = event >= 0, event.clamp(min=0)
    moved = hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[2]))
    return Window(
        moved * filled[..., None],
        times.gather(1, index).masked_fill(~filled, 0),
        positions,
        torch.full_like(batch.lengths, size - 1),
        filled,
    )


def padded_on_the_right(hidden: Tensor, batch: SequenceBatch) -> Tensor:
    """Undo ``padded_on_the_left``: [B, M, D] -> [B, L, D]."""
    size, length = hidden.shape[1], batch.items.shape[1]
    index = torch.arange(length, device=hidden.device) + (size - batch.lengths)[:, None]
    index = index.clamp(max=size - 1)
    return hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[2]))
