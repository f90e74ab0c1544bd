"""Leave-one-out: the last interaction is for testing, the one before for validation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqzoo.data.sequences import Sequences
from seqzoo.errors import UsageError, nearest

PARTS = ("train", "valid", "test")

# With fewer interactions, no history would be left before the two that are held out.
MINIMUM_LENGTH = 3


@dataclass(frozen=True)
class Split:
    """One part of a split: the histories of M users, and the target after each.

    Attributes:
        history_start: position of the first event of each history in ``Sequences.items`` (M,),
            int64.
        history_end: position after the last event of each history (M,), int64.
        target: position of the interaction to predict (M,), int64; -1 in ``train``, where the
            targets are inside the history.
        users: index of each user in the sequences (M,), int64.
    """

    history_start: npt.NDArray[np.int64]
    history_end: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    users: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


def leave_one_out(sequences: Sequences, part: str) -> Split:
    """Split each user's history by position.

    In ``test`` the target is the last interaction, in ``valid`` the second last; the history is
    everything before the target. Both leave out users with fewer than 3 interactions. ``train``
    has the histories of all users without their last two interactions, or the whole history of
    users with fewer than 3.

    Args:
        sequences: the histories of all users.
        part: ``train``, ``valid`` or ``test``.

    Raises:
        UsageError: the part is unknown.
    """
    if part not in PARTS:
        raise UsageError(
            f"the part '{part}' is unknown; expected one of {', '.join(PARTS)}"
            f"{nearest(part, PARTS)}"
        )
    starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
    long_enough = ends - starts >= MINIMUM_LENGTH
    if part == "train":
        return Split(
            history_start=starts.copy(),
            history_end=np.where(long_enough, ends - 2, ends),
            target=np.full(len(starts), -1, dtype=np.int64),
            users=np.arange(len(starts), dtype=np.int64),
        )
    targets = (ends - (1 if part == "test" else 2))[long_enough]
    return Split(
        history_start=starts[long_enough],
        history_end=targets.copy(),
        target=targets,
        users=np.flatnonzero(long_enough).astype(np.int64),
    )


def train_counts(sequences: Sequences, items: int) -> npt.NDArray[np.int64]:
    """The number of interactions of each item in the ``train`` part (V,).

    Args:
        sequences: the histories of all users.
        items: size V of the vocabulary.
    """
    counts = np.bincount(sequences.items, minlength=items + 1)
    for part in ("valid", "test"):
        targets = sequences.items[leave_one_out(sequences, part).target]
        counts -= np.bincount(targets, minlength=items + 1)
    return counts[1:]
