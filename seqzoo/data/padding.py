"""Cut flat arrays of histories into padded batches whose size suits the processor's cache."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.interfaces import SequenceBatch

__all__ = ["CACHED_POSITIONS", "Int64s", "batch_slices", "next_times", "padded"]

Int64s = npt.NDArray[np.int64]

CACHED_POSITIONS = 2**14
"""Positions of a batch on a CPU, at most. A batch's vectors then fit a core's cache; larger batches
made inference slower, not faster."""


def batch_slices(widths: Int64s, rows: int, device: torch.device) -> Iterator[slice]:
    """Slices of histories that make one batch each.

    Args:
        widths: lengths of the histories, ascending.
        rows: maximum number of histories of a batch.
        device: the device. On a CPU a batch also has at most ``CACHED_POSITIONS`` positions,
            but at least one history.
    """
    first = 0
    while first < len(widths):
        size = min(rows, len(widths) - first)
        if device.type == "cpu":
            fits = widths[first : first + size] * np.arange(1, size + 1) <= CACHED_POSITIONS
            size = max(1, int(np.count_nonzero(fits)))
        yield slice(first, first + size)
        first += size


def padded(
    items: npt.NDArray[np.int32],
    timestamps: Int64s | None,
    starts: Int64s,
    lengths: Int64s,
    features: Mapping[str, npt.NDArray[Any]] | None = None,
) -> SequenceBatch:
    """The ranges ``starts[i] : starts[i] + lengths[i]`` as a batch padded on the right [B, L]."""
    width = np.arange(int(lengths.max()))
    inside = width < lengths[:, None]
    positions = (starts[:, None] + width)[inside]

    def filled(values: npt.NDArray[Any]) -> torch.Tensor:
        rows = np.zeros(inside.shape, np.float32 if values.dtype == np.float32 else np.int64)
        rows[inside] = values[positions]
        return torch.from_numpy(rows)

    times = None if timestamps is None else filled(timestamps)
    named = {name: filled(values) for name, values in features.items()} if features else {}
    return SequenceBatch(filled(items), torch.from_numpy(lengths.copy()), times, features=named)


def next_times(timestamps: Int64s, starts: Int64s, lengths: Int64s, ends: Int64s) -> torch.Tensor:
    """The time of the event after each one in the ranges, padded on the right [B, L].

    Args:
        timestamps: the timestamps of all events.
        starts: position of the first event of each range [B].
        lengths: number of events [B].
        ends: where the history of each range ends [B]; its last event has its own time.
    """
    columns = np.arange(int(lengths.max()))
    following = np.minimum(starts[:, None] + 1 + columns, ends[:, None] - 1)
    inside = columns < lengths[:, None]
    return torch.from_numpy(np.where(inside, timestamps[np.where(inside, following, 0)], 0))
