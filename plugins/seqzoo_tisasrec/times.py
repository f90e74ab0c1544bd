"""Timestamps in units, and the intervals between them: integers throughout.

Floating-point numbers would round unix seconds.

Shapes in brackets: B histories, L positions, Q query positions.
"""

import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

__all__ = ["in_units", "intervals", "median_gap", "since_first", "smallest_gaps"]


def since_first(batch: SequenceBatch) -> Tensor:
    """Seconds since the first event of each history [B, L], int64; 0 without timestamps."""
    if batch.timestamps is None:
        return torch.zeros_like(batch.items)
    return batch.timestamps - batch.timestamps[:, :1]


def in_units(seconds: Tensor, unit: Tensor | int) -> Tensor:
    """``1 + round(seconds / unit)``, int64; a half is rounded to the even number, as in Python."""
    whole = torch.div(seconds, unit, rounding_mode="floor")
    twice_rest = 2 * (seconds - whole * unit)
    up = (twice_rest > unit) | ((twice_rest == unit) & (whole % 2 == 1))
    return 1 + whole + up


def intervals(queries: Tensor, keys: Tensor, largest: int) -> Tensor:
    """``min(|query - key|, largest)`` of times in units: [B, Q], [B, L] -> [B, Q, L]."""
    return (queries[:, :, None] - keys[:, None]).abs().clamp(max=largest)


def smallest_gaps(batch: SequenceBatch) -> Tensor:
    """The smallest gap between neighbours that is not 0, of each history: seconds [B, 1], int64.

    It is 1 where there is none.
    """
    gaps, real = _gaps(batch)
    none = torch.iinfo(torch.int64).max
    # A gap of its own for histories of one event.
    smallest = torch.cat([gaps.where(real, none), torch.full_like(batch.items[:, :1], none)], 1)
    smallest = smallest.amin(1, keepdim=True)
    return smallest.where(smallest < none, 1)


def median_gap(batch: SequenceBatch) -> Tensor:
    """The median of all gaps between neighbours that are not 0: seconds, int64; 0 without any."""
    gaps, real = _gaps(batch)
    found = gaps[real]
    return found.median() if len(found) else found.new_zeros(())


def _gaps(batch: SequenceBatch) -> tuple[Tensor, Tensor]:
    """Seconds between neighbours [B, L - 1], and where they are positive and between events."""
    gaps = since_first(batch).diff(dim=1)
    return gaps, (gaps > 0) & batch.mask[:, 1:]
