"""Gaps between events, the input of the time branches.

They are subtracted in int64: float32 would round unix seconds to multiples of 64 or 128 first.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo_tim4rec.config import TiM4RecConfig

__all__ = ["gaps", "padded_gaps", "standardised"]


def gaps(batch: SequenceBatch) -> Tensor:
    """Seconds since the previous event [B, L], int64.

    They are 0 at the first event, and everywhere if there are no timestamps. Values in the padding
    have no meaning.
    """
    if batch.timestamps is None:
        return torch.zeros_like(batch.items)
    # Not `diff`, whose L - 1 columns a tracer would take for more than one.
    before = torch.arange(-1, batch.items.shape[1] - 1, device=batch.items.device).clamp(min=0)
    return batch.timestamps - batch.timestamps[:, before]


def padded_gaps(batch: SequenceBatch, length: int) -> Tensor:
    """Differences of timestamps padded with zeros, as in the released code: [B, L], float32.

    The difference at the first padding of a row is minus the newest timestamp, about -1e9. It
    dominates the LayerNorm over the row, so that the result depends more on the sequence length
    than on the gaps. A row without padding has no such value.

    Args:
        batch: histories of at most ``length`` events.
        length: L, to which rows are padded.
    """
    if batch.timestamps is None:
        return torch.zeros(len(batch.items), length, device=batch.items.device)
    times = batch.timestamps.masked_fill(~batch.mask, 0)
    times = functional.pad(times, (0, length - times.shape[1]))
    return torch.diff(times, dim=1, prepend=times[:, :1]).float()


def standardised(gap: Tensor, config: TiM4RecConfig, dtype: torch.dtype) -> Tensor:
    """``(log1p(gap / scale) - mean) / std`` of gaps in seconds; negative gaps count as zero."""
    seconds = gap.clamp(min=0).to(torch.promote_types(dtype, torch.float32))
    logs = torch.log1p(seconds / config.time_scale)
    return ((logs - config.time_mean) / config.time_std).to(dtype)
