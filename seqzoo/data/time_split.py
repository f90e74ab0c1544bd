"""The split by time: one cut for all users, so that no model learns from the future."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from seqzoo.data.readers.times import unix_seconds
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split, Splitter, check_part
from seqzoo.data.summary import day_and_time
from seqzoo.errors import ConfigError, DataError, nearest

__all__ = ["TARGETS", "Int64s", "TimeSplit"]

Int64s = npt.NDArray[np.int64]

TARGETS = ("last", "first", "each")


@dataclass
class TimeSplit(Splitter):
    """Train on the events before a moment, and test on those after it.

    The test part begins at the latest moment such that at least ``share`` of all interactions
    happen. The validation part is cut from what is before in the same way, and training has the
    rest: no event at or after the beginning of the validation part.

    A target has at least one earlier event of its user, which may lie after the cut too: the
    history of a target holds everything of the user before it, as when serving. The model is not
    trained again. Users whose first event comes after the cut are therefore tested from their
    second event on; with ``first`` they are left out.

    Splitting all users at one moment follows Ji et al. (2023), "A critical study on data leakage in
    recommender system offline evaluation" (ACM TOIS 41:3).

    Attributes:
        share: share of the interactions in the test part, and of those before it in the
            validation part; more than 0 and less than 1.
        at: the moment at which the test part begins instead: unix seconds or an ISO date, in UTC.
        targets: ``last``, ``first`` or ``each`` of a user's events in a part.
    """

    share: float = 0.1
    at: str | None = None
    targets: str = "last"

    needs: ClassVar[str] = "users with an event after the cut and one before that event"
    uses_time: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(
                f"setting 'share' is {self.share}; expected more than 0 and less than 1"
            )
        if self.at is not None and unix_seconds(self.at) is None:
            raise ConfigError(
                f"setting 'at' is '{self.at}'; expected unix seconds (978300760) or an ISO date "
                "(2001-01-01)"
            )
        if self.targets not in TARGETS:
            raise ConfigError(
                f"setting 'targets' is '{self.targets}'{nearest(self.targets, TARGETS) or ';'} "
                f"expected one of: {', '.join(TARGETS)}"
            )

    def part(self, sequences: Sequences, part: str) -> Split:
        """See :class:`Splitter`.

        Raises:
            UsageError: the part is unknown.
            DataError: the data have no timestamps, or nothing lies before or after the cut.
        """
        check_part(part)
        valid, test = self.moments(sequences)
        # Positions 0..N of the cuts in each user's history, which is in the order of time.
        valid_starts, test_starts = (_positions(sequences, moment) for moment in (valid, test))
        starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
        if part == "train":
            return Split(
                history_start=starts.copy(),
                history_end=valid_starts,
                target=np.full(len(starts), -1, dtype=np.int64),
                users=np.arange(len(starts), dtype=np.int64),
            )
        if part == "test":
            return self._held_out(starts, test_starts, ends, test)
        return self._held_out(starts, valid_starts, test_starts, valid)

    def moments(self, sequences: Sequences) -> tuple[int, int]:
        """The unix seconds at which the validation part and the test part begin.

        Raises:
            DataError: as ``part``.
        """
        if sequences.timestamps is None or not len(sequences.timestamps):
            raise DataError(
                "a split by time needs timestamps, and the data have none: name their column with "
                "--time-col, or choose a protocol with another split, such as loo-full"
            )
        times = sequences.timestamps
        given = None if self.at is None else unix_seconds(self.at)
        test = self._latest(times) if given is None else given
        before = times[times < test]
        if not len(before) or len(before) == len(times):
            where = "before" if not len(before) else "at or after"
            first, last = int(times.min()), int(times.max())
            raise DataError(
                f"no event is {where} {day_and_time(test)}, where the test part begins: the data "
                f"are from {day_and_time(first)} to {day_and_time(last)}; give "
                f"{'a smaller share or ' if self.at is None else ''}another moment as "
                "data.split.at"
            )
        valid = self._latest(before)
        if valid == before.min():
            raise DataError(
                f"nothing is left for training: all events before the test part are at "
                f"{day_and_time(valid)} or later, where validation begins; give a smaller "
                "data.split.share"
            )
        return valid, test

    def _latest(self, times: Int64s) -> int:
        """The latest moment from which on at least ``share`` of the events happen."""
        held_out = max(1, int(np.ceil(self.share * len(times) - 1e-9)))
        return int(np.partition(times, len(times) - held_out)[len(times) - held_out])

    def _held_out(self, starts: Int64s, begins: Int64s, ends: Int64s, moment: int) -> Split:
        """The targets at the positions ``begins[u]:ends[u]`` of the history from ``starts[u]``."""
        present = ends > begins
        if self.targets == "first":
            users = np.flatnonzero(present & (begins > starts))
            targets = begins[users]
        elif self.targets == "last":
            users = np.flatnonzero(present & (ends - 1 > starts))
            targets = ends[users] - 1
        else:
            firsts = np.maximum(begins, starts + 1)
            counts = np.maximum(ends - firsts, 0)
            users = np.repeat(np.arange(len(starts)), counts)
            before = np.cumsum(counts) - counts
            targets = np.arange(len(users)) - before[users] + firsts[users]
        return Split(
            history_start=starts[users],
            history_end=targets.copy(),
            target=targets,
            users=users.astype(np.int64),
            left_out=int(np.count_nonzero(present)) - len(np.unique(users)),
            begins=moment,
        )


def _positions(sequences: Sequences, moment: int) -> Int64s:
    """The position of each user's first event at or after a moment, or the end of the history."""
    earlier = np.concatenate([[0], np.cumsum(sequences.timestamps < moment)])  # type: ignore[operator]
    starts = sequences.offsets[:-1]
    positions: Int64s = starts + earlier[sequences.offsets[1:]] - earlier[starts]
    return positions
