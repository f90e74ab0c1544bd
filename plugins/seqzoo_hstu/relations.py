"""How far apart the positions of a history are, in events and in time.

Shapes in brackets: B batch, n positions that read, m positions that are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

__all__ = [
    "BUCKETS",
    "Relations",
    "buckets",
    "newest_relations",
    "query_times",
    "relations",
    "streamed_relations",
]

BUCKETS = 129
"""Number of buckets of time differences."""
_BUCKET_WIDTH = 0.301
"""A bucket is a factor of e^0.301 = 1.35 wide: the published code divides natural logarithms by the
decimal logarithm of 2."""
_BLOCK = 64
"""Positions that are computed together: those after a block are never computed for it."""


@dataclass(frozen=True)
class Relations:
    """What some positions read, and how far they are from it.

    Attributes:
        rows: the positions that read.
        distance: number of events between two positions [n, m] or [B, 1, m], int64.
        visible: whether a position is read, of the same shape.
        bucket: the bucket of the time difference [B, n, m] or [B, 1, m], int64; None if all are 0.
    """

    rows: slice
    distance: Tensor
    visible: Tensor
    bucket: Tensor | None


def buckets(seconds: Tensor) -> Tensor:
    """``floor(ln(max(|seconds|, 1)) / 0.301)``, at most 128: int64 of the same shape.

    The logarithm is that of float32, which decides at the edges, as in the published code.
    """
    logs = seconds.abs().clamp(min=1).float().log()
    return (logs / _BUCKET_WIDTH).long().clamp(max=BUCKETS - 1)


def query_times(batch: SequenceBatch, time_mode: str) -> Tensor | None:
    """The time with which each position compares those of the events before it [B, L], or None."""
    times = batch.timestamps
    if times is None or time_mode == "none":
        return None
    if time_mode == "previous":
        return times
    if batch.query_times is not None:
        return batch.query_times
    # Nothing is known of the request: it counts as coming with the newest event.
    following = times.roll(-1, 1)
    position = torch.arange(times.shape[1], device=times.device)
    return torch.where(position >= batch.lengths[:, None] - 1, times, following)


def relations(batch: SequenceBatch, queries: Tensor | None) -> Iterator[Relations]:
    """The relations of all positions of a batch, block by block.

    Args:
        batch: histories.
        queries: the result of ``query_times``.
    """
    length = batch.items.shape[1]
    position = torch.arange(length, device=batch.items.device)
    # A traced model takes any length, and so has one block.
    tracing = torch.compiler.is_compiling()
    for start in [0] if tracing else range(0, length, _BLOCK):
        stop = length if tracing else min(start + _BLOCK, length)
        distance = position[start:stop, None] - position[:stop]
        bucket = None
        if queries is not None and batch.timestamps is not None:
            seconds = queries[:, start:stop, None] - batch.timestamps[:, None, :stop]
            bucket = buckets(seconds)
        visible = distance >= 0
        yield Relations(slice(start, stop), distance.clamp(min=0), visible, bucket)


def newest_relations(batch: SequenceBatch, queries: Tensor | None) -> Relations:
    """The relations of the newest event of each history."""
    position = torch.arange(batch.items.shape[1], device=batch.items.device)
    distance = (batch.lengths[:, None] - 1 - position)[:, None]
    bucket = None
    if queries is not None and batch.timestamps is not None:
        bucket = buckets(batch.gather_last(queries)[:, None] - batch.timestamps)[:, None]
    return Relations(slice(0, 1), distance.clamp(min=0), distance >= 0, bucket)


def streamed_relations(ages: Tensor, rows: int, timed: bool) -> Relations:
    """The relations of the newest events of sessions, which all have the same number of events.

    Args:
        ages: seconds from each event to the time of the request [B, m].
        rows: number n of the newest events that read.
        timed: whether times count.
    """
    count = ages.shape[1]
    position = torch.arange(count, device=ages.device)
    # Not a slice of `position`, whose size a tracer cannot know.
    reading = count - rows + torch.arange(rows, device=ages.device)
    distance = reading[:, None] - position
    bucket = buckets(ages)[:, None] if timed else None
    return Relations(slice(0, rows), distance.clamp(min=0), distance >= 0, bucket)
