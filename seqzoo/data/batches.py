"""Batches cut from the flat arrays as they are needed; no padded copy of the data is ever made."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.interfaces import SequenceBatch

Int64s = npt.NDArray[np.int64]

_POOL = 64
"""Batches whose windows are sorted by length together: little padding, still well mixed."""


@dataclass(frozen=True)
class EvaluationBatch:
    """Histories with the item that follows each of them.

    Attributes:
        histories: the newest events of each history.
        targets: item indices [B].
        seen: (row, item) of everything in the whole histories, as two index tensors [E], [E].
    """

    histories: SequenceBatch
    targets: Tensor
    seen: tuple[Tensor, Tensor]


def evaluation_batches(
    sequences: Sequences, split: Split, max_length: int, batch_size: int
) -> Iterator[tuple[Int64s, EvaluationBatch]]:
    """All rows of a split, sorted by length; with the row numbers of each batch.

    Args:
        sequences: the data.
        split: which histories and targets.
        max_length: how many of the newest events are read.
        batch_size: rows of one batch.
    """
    lengths = np.minimum(split.history_end - split.history_start, max_length)
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        starts, ends = split.history_start[rows], split.history_end[rows]
        owner, positions = _ranges(starts, ends)
        targets = sequences.items[split.target[rows]]
        yield (
            rows,
            EvaluationBatch(
                gather(sequences, ends - lengths[rows], lengths[rows]),
                torch.from_numpy(targets.astype(np.int64)),
                (
                    torch.from_numpy(owner),
                    torch.from_numpy(sequences.items[positions].astype(np.int64)),
                ),
            ),
        )


@dataclass(frozen=True)
class TrainingBatch:
    """Windows of training histories with the items to predict.

    Attributes:
        histories: the input events.
        targets: the item after each position [B, L], 0 where nothing is to be predicted.
    """

    histories: SequenceBatch
    targets: Tensor


def training_windows(
    split: Split, max_length: int, generator: np.random.Generator, shift: bool
) -> tuple[Int64s, Int64s]:
    """Cut the training histories into windows that make every interaction a target once.

    A window is the positions ``start .. start + length - 1``; its targets are the positions one
    later. Windows are cut from the newest end; ``shift`` moves the cuts of a history that is longer
    than a window by a random number of events, so that they differ from epoch to epoch.

    Returns:
        Starts and lengths of W windows, both [W].
    """
    inputs = split.history_end - split.history_start - 1
    starts, inputs = split.history_start[inputs > 0], inputs[inputs > 0]
    offsets = np.zeros_like(inputs)
    if shift:
        offsets = np.where(inputs > max_length, generator.integers(0, max_length, len(inputs)), 0)
    # With an offset the newest window is shorter by it, and so one more window may be needed.
    counts = -(-(inputs + offsets) // max_length)
    owner, number = _ranges(np.zeros_like(counts), counts)
    ends = starts[owner] + inputs[owner] + offsets[owner] - number * max_length
    begins = np.maximum(ends - max_length, starts[owner])
    ends = np.minimum(ends, starts[owner] + inputs[owner])
    return begins, ends - begins


def training_batches(
    starts: Int64s,
    lengths: Int64s,
    *,
    positions_per_batch: int,
    generator: np.random.Generator,
    every_position: bool,
) -> list[tuple[Int64s, Int64s]]:
    """Group windows of similar length into batches of about the same number of positions.

    Args:
        starts: window starts [W].
        lengths: window lengths [W].
        positions_per_batch: upper limit of rows times width of a batch.
        generator: what shuffles windows and batches.
        every_position: whether all positions are targets; else only the last of a random prefix
            of each window is.

    Returns:
        Starts and lengths of the windows of each batch, in training order.
    """
    order = generator.permutation(len(starts))
    starts, lengths = starts[order], lengths[order]
    if not every_position:
        lengths = generator.integers(1, lengths + 1)
    mean = max(1.0, float(lengths.mean()))
    pool = max(1, int(_POOL * positions_per_batch / mean))
    batches = []
    for first in range(0, len(starts), pool):
        part = np.argsort(lengths[first : first + pool], kind="stable") + first
        begin = 0
        while begin < len(part):
            # Widths rise within the pool, so the last row decides how wide the batch is.
            widths = lengths[part[begin:]]
            fits = widths * np.arange(1, len(widths) + 1) <= positions_per_batch
            size = max(1, int(np.count_nonzero(fits)))
            rows = part[begin : begin + size]
            batches.append((starts[rows], lengths[rows]))
            begin += size
    return [batches[index] for index in generator.permutation(len(batches))]


def training_batch(
    sequences: Sequences, starts: Int64s, lengths: Int64s, every_position: bool
) -> TrainingBatch:
    """The tensors of one batch of windows."""
    histories = gather(sequences, starts, lengths)
    positions = starts[:, None] + 1 + np.arange(histories.items.shape[1])
    inside = np.arange(histories.items.shape[1]) < lengths[:, None]
    if not every_position:
        inside &= np.arange(histories.items.shape[1]) == lengths[:, None] - 1
    targets = np.zeros(positions.shape, dtype=np.int64)
    targets[inside] = sequences.items[positions[inside]]
    return TrainingBatch(histories, torch.from_numpy(targets))


def gather(sequences: Sequences, starts: Int64s, lengths: Int64s) -> SequenceBatch:
    """Ranges of the flat arrays as a batch padded on the right."""
    width = np.arange(int(lengths.max()))
    inside = width < lengths[:, None]
    positions = (starts[:, None] + width)[inside]
    items = np.zeros(inside.shape, dtype=np.int64)
    items[inside] = sequences.items[positions]
    times = None
    if sequences.timestamps is not None:
        filled = np.zeros(inside.shape, dtype=np.int64)
        filled[inside] = sequences.timestamps[positions]
        times = torch.from_numpy(filled)
    return SequenceBatch(torch.from_numpy(items), torch.from_numpy(lengths.copy()), times)


def _ranges(starts: Int64s, ends: Int64s) -> tuple[Int64s, Int64s]:
    """All positions of the ranges ``starts[i]:ends[i]``, with the number i of their range."""
    counts = ends - starts
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, starts[owner] + np.arange(len(owner)) - before[owner]
