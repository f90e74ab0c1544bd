"""Batches that are cut from the flat arrays on demand, without a padded copy of the data."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqzoo.data.padding import batch_slices, next_times, padded
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.interfaces import SequenceBatch

__all__ = [
    "EvaluationBatch",
    "Int64s",
    "TrainingBatch",
    "Windows",
    "evaluation_batches",
    "gather",
    "ranges",
    "training_batch",
    "training_batches",
    "training_windows",
]

Int64s = npt.NDArray[np.int64]

_POOL = 64
"""The number of batches whose windows are sorted by length together.

More would save padding, fewer would shuffle better.
"""


@dataclass(frozen=True)
class EvaluationBatch:
    """Histories with the item that follows each of them.

    Attributes:
        histories: the newest events of each history.
        targets: item indices [B].
        seen: the row and the item index of every event of the whole histories, two tensors [E].
    """

    histories: SequenceBatch
    targets: Tensor
    seen: tuple[Tensor, Tensor]


def evaluation_batches(
    sequences: Sequences,
    split: Split,
    max_length: int,
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[Int64s, EvaluationBatch]]:
    """Yield the rows of a split, sorted by sequence length, in batches with their row numbers.

    Args:
        sequences: the data.
        split: which histories and targets.
        max_length: the number of newest events that the model reads.
        batch_size: maximum number of rows of one batch.
        device: the device of the model; on a CPU, batches of long histories are smaller.
    """
    lengths = np.minimum(split.history_end - split.history_start, max_length)
    order = np.argsort(lengths, kind="stable")
    for part in batch_slices(lengths[order], batch_size, device):
        rows = order[part]
        starts, ends = split.history_start[rows], split.history_end[rows]
        owner, positions = ranges(starts, ends)
        targets = sequences.items[split.target[rows]]
        histories = gather(sequences, ends - lengths[rows], lengths[rows])
        if histories.query_times is not None and sequences.timestamps is not None:
            # The request comes when the event to predict does.
            times = torch.from_numpy(sequences.timestamps[split.target[rows]])
            histories.query_times[torch.arange(len(rows)), histories.lengths - 1] = times
        yield (
            rows,
            EvaluationBatch(
                histories,
                torch.from_numpy(targets.astype(np.int64)),
                (
                    torch.from_numpy(owner),
                    torch.from_numpy(sequences.items[positions].astype(np.int64)),
                ),
            ),
        )


@dataclass(frozen=True)
class TrainingBatch:
    """Training histories with the items to predict.

    Attributes:
        histories: the input events.
        targets: the item that each position predicts [B, L], 0 where it predicts none.
    """

    histories: SequenceBatch
    targets: Tensor


@dataclass(frozen=True)
class Windows:
    """Parts of training histories, as ranges of positions in ``Sequences.items``.

    Attributes:
        starts: position of the first input of each window [W].
        lengths: number of inputs [W].
        contexts: number of first inputs that have no target [W]; the target of every other input
            is the item at the next position.
    """

    starts: Int64s
    lengths: Int64s
    contexts: Int64s

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Int64s) -> "Windows":
        """Some of the windows, in the order of ``rows``."""
        return Windows(self.starts[rows], self.lengths[rows], self.contexts[rows])


def training_windows(
    split: Split,
    max_length: int,
    generator: np.random.Generator,
    shift: bool,
    context: int = 0,
) -> Windows:
    """Cut the training histories into windows in which every interaction is a target once.

    Args:
        split: the training histories; windows are cut from their newest end, and those before the
            first target are left out.
        max_length: maximum number of inputs of a window.
        generator: draws the offsets.
        shift: move the cuts of every history that is longer than a window by a random number of
            events, so that they differ from epoch to epoch.
        context: minimum number of events before every target, except near the start of a history;
            windows overlap by as many.
    """
    inputs = split.history_end - split.history_start - 1
    starts, inputs = split.history_start[inputs > 0], inputs[inputs > 0]
    stride = max_length - context
    offsets = np.zeros_like(inputs)
    if shift:
        offsets = np.where(inputs > max_length, generator.integers(0, stride, len(inputs)), 0)
    # The offset shortens the newest window, so one more window may be needed.
    counts = 1 + np.maximum(-(-(inputs + offsets - max_length) // stride), 0)
    owner, number = ranges(np.zeros_like(counts), counts)
    ends = starts[owner] + inputs[owner] + offsets[owner] - number * stride
    begins = np.maximum(ends - max_length, starts[owner])
    # No older window has the first targets of the oldest one.
    oldest = number == counts[owner] - 1
    contexts = np.where(oldest, 0, context)
    ends = np.minimum(ends, starts[owner] + inputs[owner])
    windows = Windows(begins, ends - begins, contexts)
    if split.first_target is None:
        return windows
    first = split.first_target[split.history_end - split.history_start - 1 > 0][owner]
    contexts = np.maximum(contexts, first - 1 - begins)
    windows = Windows(begins, ends - begins, contexts)
    return windows.take(np.flatnonzero(contexts < windows.lengths))


def training_batches(
    windows: Windows,
    *,
    positions_per_batch: int,
    generator: np.random.Generator,
    every_position: bool,
) -> list[Windows]:
    """Group windows of similar length into batches of about the same number of positions.

    Args:
        windows: the windows of all histories.
        positions_per_batch: maximum number of positions of a batch, including padding; a batch has
            at least one window.
        generator: shuffles windows and batches.
        every_position: whether all positions are targets; otherwise only the last position of a
            random prefix of each window is.

    Returns:
        The windows of each batch, in training order.
    """
    windows = windows.take(generator.permutation(len(windows)))
    if not every_position:
        prefixes = generator.integers(windows.contexts + 1, windows.lengths + 1)
        windows = Windows(windows.starts, prefixes, windows.contexts)
    lengths = windows.lengths
    mean = max(1.0, float(lengths.mean()))
    pool = max(1, int(_POOL * positions_per_batch / mean))
    batches = []
    for first in range(0, len(windows), pool):
        part = np.argsort(lengths[first : first + pool], kind="stable") + first
        begin = 0
        while begin < len(part):
            # Widths rise within the pool, so the last row decides how wide the batch is.
            widths = lengths[part[begin:]]
            fits = widths * np.arange(1, len(widths) + 1) <= positions_per_batch
            size = max(1, int(np.count_nonzero(fits)))
            batches.append(windows.take(part[begin : begin + size]))
            begin += size
    return [batches[index] for index in generator.permutation(len(batches))]


def training_batch(sequences: Sequences, windows: Windows, every_position: bool) -> TrainingBatch:
    """The tensors of one batch of windows; see :func:`training_batches`."""
    histories = gather(sequences, windows.starts, windows.lengths)
    columns = np.arange(histories.items.shape[1])
    positions = windows.starts[:, None] + 1 + columns
    lengths = windows.lengths[:, None]
    inside = (columns >= windows.contexts[:, None]) & (columns < lengths)
    if not every_position:
        inside &= columns == lengths - 1
    targets = np.zeros(positions.shape, dtype=np.int64)
    targets[inside] = sequences.items[positions[inside]]
    return TrainingBatch(histories, torch.from_numpy(targets))


def gather(sequences: Sequences, starts: Int64s, lengths: Int64s) -> SequenceBatch:
    """The ranges ``starts[i] : starts[i] + lengths[i]`` as a batch padded on the right [B, L]."""
    batch = padded(sequences.items, sequences.timestamps, starts, lengths, sequences.features)
    if not sequences.query_times and sequences.users is None:
        return batch
    owners = np.searchsorted(sequences.offsets, starts, side="right") - 1
    queries = None
    if sequences.query_times and sequences.timestamps is not None:
        ends = sequences.offsets[owners + 1]
        queries = next_times(sequences.timestamps, starts, lengths, ends)
    users = None if sequences.users is None else torch.from_numpy(sequences.users[owners])
    return replace(batch, query_times=queries, users=users)


def ranges(starts: Int64s, ends: Int64s) -> tuple[Int64s, Int64s]:
    """For every position in the ranges ``starts[i]:ends[i]``: the range number i, the position."""
    counts = ends - starts
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, starts[owner] + np.arange(len(owner)) - before[owner]
