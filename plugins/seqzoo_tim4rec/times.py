"""What the time branches read: gaps between events, subtracted in int64.

A float32 holds unix seconds to within 64 or 128 s only, so nothing is cast before the subtraction.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo_tim4rec.config import TiM4RecConfig


def gaps(batch: SequenceBatch) -> Tensor:
    """Seconds since the event before [B, L], int64; 0 at the first, and everywhere without times.

    What stands in the padding has no meaning.
    """
    if batch.timestamps is None:
        return torch.zeros_like(batch.items)
    return torch.diff(batch.timestamps, dim=1, prepend=batch.timestamps[:, :1])


def padded_gaps(batch: SequenceBatch, length: int) -> Tensor:
    """The released code's differences of a row padded with zeros: [B, ``length``], float32.

    The first padding of a row therefore holds minus its newest time, about -1e9: the spike that
    rules the LayerNorm over the row, whose size tells the length of the history rather than its
    gaps. A row without padding has none.
    """
    if batch.timestamps is None:
        return torch.zeros(len(batch.items), length, device=batch.items.device)
    times = batch.timestamps.masked_fill(~batch.mask, 0)
    times = functional.pad(times, (0, length - times.shape[1]))
    return torch.diff(times, dim=1, prepend=times[:, :1]).float()


def standardised(gap: Tensor, config: TiM4RecConfig, dtype: torch.dtype) -> Tensor:
    """``(log1p(gap / scale) - mean) / std`` of gaps in seconds; a negative gap counts as none."""
    seconds = gap.clamp(min=0).to(torch.promote_types(dtype, torch.float32))
    logs = torch.log1p(seconds / config.time_scale)
    return ((logs - config.time_mean) / config.time_std).to(dtype)
