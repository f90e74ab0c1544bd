"""One part of a split as sequences of its own."""

import numpy as np

from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split

__all__ = ["histories_of"]


def histories_of(sequences: Sequences, split: Split) -> Sequences:
    """The histories of a split, one after another; the targets after them are left out.

    Features, and whether batches have timestamps and users, stay the same.

    Args:
        sequences: the histories of all users.
        split: one part of them, for example ``train``.
    """
    lengths = split.history_end - split.history_start
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    positions = np.arange(offsets[-1]) + np.repeat(split.history_start - offsets[:-1], lengths)
    times = sequences.timestamps
    return Sequences(
        items=np.asarray(sequences.items[positions]),
        timestamps=None if times is None else np.asarray(times[positions]),
        offsets=offsets,
        features={name: column[positions] for name, column in sequences.features.items()},
        query_times=sequences.query_times,
        users=None if sequences.users is None else sequences.users[split.users],
    )
