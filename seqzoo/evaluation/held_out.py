"""The data of a measurement: histories that the model can read, and the held-out items."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seqzoo.data.sequences import SequenceData, Sequences
from seqzoo.data.splits import Split, leave_one_out
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError


@dataclass(frozen=True)
class HeldOut:
    """The users of a split; a model can rank those whose held-out item and history it knows.

    Held-out items that the model does not know count as misses, and so do users in whose history
    it knows no item.

    Attributes:
        data: all interactions, under any vocabulary.
        sequences: the interactions with known items, under the model's own indices.
        split: the M users who can be ranked.
        rows: the positions of those users among all U users of the split (M,).
        known: whether each user's held-out item is known (U,).
    """

    data: SequenceData
    sequences: Sequences
    split: Split
    rows: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]

    @property
    def users(self) -> int:
        """Number of users in the split."""
        return len(self.known)

    @property
    def unknown_interactions(self) -> int:
        """Number of interactions with items that the model does not know."""
        return len(self.data.sequences.items) - len(self.sequences.items)

    @property
    def unknown_targets(self) -> int:
        """Number of users whose held-out item the model does not know."""
        return int(self.users - self.known.sum())

    def first(self, count: int) -> "HeldOut":
        """The same, restricted to the first ``count`` users who can be ranked."""
        split = Split(
            history_start=self.split.history_start[:count],
            history_end=self.split.history_end[:count],
            target=self.split.target[:count],
            users=self.split.users[:count],
        )
        return replace(self, split=split, rows=self.rows[:count])


def hold_out(data: SequenceData, vocabulary: Vocabulary, part: str = "test") -> HeldOut:
    """Split data by leave-one-out and read them with a model's vocabulary.

    Args:
        data: the data with all interactions, under any vocabulary.
        vocabulary: the model's.
        part: ``test`` or ``valid``.

    Raises:
        DataError: no user has the three interactions that leave-one-out needs, or the vocabulary
            has no item of the data.
    """
    split = leave_one_out(data.sequences, part)
    if not len(split):
        raise DataError(
            f"{data.name}: no user has 3 interactions or more, which leave-one-out needs; "
            "give more data"
        )
    if data.vocabulary.items == vocabulary.items:
        everyone = np.arange(len(split))
        return HeldOut(data, data.sequences, split, everyone, np.ones(len(split), dtype=bool))
    own = [vocabulary.index(item) if item in vocabulary else 0 for item in data.vocabulary.items]
    if not any(own):
        raise DataError(
            f"{data.name}: none of its {len(own)} items is among the {len(vocabulary)} of the "
            f"vocabulary (data: '{data.vocabulary.items[0]}', vocabulary: "
            f"'{vocabulary.items[0]}'); expected data with the same item ids"
        )
    whole = data.sequences
    indices = np.asarray([0, *own], dtype=np.int32)[whole.items]
    read = indices > 0
    # Position p of the whole data is position before[p] of what is read.
    before = np.concatenate([[0], np.cumsum(read)])
    known = read[split.target]
    ranked = known & (before[split.history_end] > before[split.history_start])
    return HeldOut(
        data=data,
        sequences=Sequences(
            items=indices[read],
            timestamps=None if whole.timestamps is None else whole.timestamps[read],
            offsets=before[whole.offsets],
        ),
        split=Split(
            history_start=before[split.history_start[ranked]],
            history_end=before[split.history_end[ranked]],
            target=before[split.target[ranked]],
            users=split.users[ranked],
        ),
        rows=np.flatnonzero(ranked),
        known=known,
    )
