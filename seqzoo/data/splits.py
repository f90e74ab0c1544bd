"""Leave-one-out: the last interaction tests, the one before it validates, the rest trains."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqzoo.data.sequences import Sequences
from seqzoo.errors import UsageError, nearest

PARTS = ("train", "valid", "test")

# With fewer interactions, holding out two would leave nothing to predict them from.
MINIMUM_LENGTH = 3


@dataclass(frozen=True)
class Split:
    """One part of a split: a history of M users, and what is to be predicted after it.

    Attributes:
        history_start: where each history begins in ``Sequences.items`` (M,), int64.
        history_end: the position after each history's last (M,), int64.
        target: the position of the interaction to predict (M,), int64; -1 in ``train``, where
            the history itself holds the targets.
        users: the number of each user in the sequences (M,), int64.
    """

    history_start: npt.NDArray[np.int64]
    history_end: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    users: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


def leave_one_out(sequences: Sequences, part: str) -> Split:
    """Split each user's history by position.

    In ``test`` the last interaction is the target and everything before it the history; in
    ``valid`` the second last, with everything before it. Both leave out users with fewer than
    3 interactions. ``train`` has all users without their last two interactions; users with
    fewer than 3 keep all of theirs.

    Args:
        sequences: the histories of all users.
        part: ``train``, ``valid`` or ``test``.

    Raises:
        UsageError: another part is asked for.
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
