"""Splits: which events are for training, which for validation and which for testing.

A split is registered like any other part (``zoo.split``): its target is a dataclass, whose fields
are the settings of the split. Protocols name one, and ``data.split`` of a recipe changes its
settings.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from seqzoo.config import structure
from seqzoo.data.sequences import SequenceData, Sequences
from seqzoo.data.summary import day_and_time
from seqzoo.errors import ConfigError, DataError, UsageError, nearest
from seqzoo.plugins import catalogue

__all__ = [
    "PARTS",
    "ChosenSplit",
    "LeaveOneOut",
    "Split",
    "Splitter",
    "check_part",
    "choose_split",
    "in_histories",
    "leaked_events",
    "split_text",
    "train_counts",
]

Int64s = npt.NDArray[np.int64]

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """One part of a split: M histories, and the target after each.

    A user may have several rows, with different targets.

    Attributes:
        history_start: position of the first event of each history in ``Sequences.items`` (M,),
            int64.
        history_end: position after the last event of each history (M,), int64.
        target: position of the interaction to predict (M,), int64, after the history; -1 in
            ``train``, where the targets are inside the history.
        users: index of each user in the sequences (M,), int64, in ascending order.
        left_out: number of users with events to predict, all of which are left out because no
            earlier event of the user is there to predict them from.
        begins: the moment at which the part begins, in unix seconds; None if it is not cut by time.
        first_target: in ``train``, position of the first event of each history that is a target
            (M,), int64; the events before it are read only. None if all but the first are targets.
    """

    history_start: Int64s
    history_end: Int64s
    target: Int64s
    users: Int64s
    left_out: int = 0
    begins: int | None = None
    first_target: Int64s | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Int64s | slice) -> "Split":
        """Some of the rows; ``left_out`` and ``begins`` stay."""
        return Split(
            self.history_start[rows],
            self.history_end[rows],
            self.target[rows],
            self.users[rows],
            self.left_out,
            self.begins,
            None if self.first_target is None else self.first_target[rows],
        )


class Splitter(ABC):
    """Divides sequences into parts; a subclass is a dataclass of the settings.

    The parts must not leak into each other: no target of ``valid`` or ``test`` is in a history of
    ``train``, and none of ``test`` in a history of ``valid`` or among its targets.
    ``seqzoo.testing.check_split`` checks it.
    """

    needs: ClassVar[str] = "more data"
    """What data must have for every part to have a target, for messages."""
    uses_time: ClassVar[bool] = False
    """Whether the parts depend on timestamps, not only on the order of a user's events."""

    @abstractmethod
    def part(self, sequences: Sequences, part: str) -> Split:
        """One part: ``train``, ``valid`` or ``test``.

        ``train`` has one row for each user, whose history may be empty. In ``valid`` and ``test``
        every row has a target and at least one event before it, all of one user.

        Raises:
            UsageError: the part is unknown.
            DataError: the data cannot be split in this way.
        """


def check_part(part: str) -> None:
    """Check the name of a part.

    Raises:
        UsageError: it is unknown.
    """
    if part not in PARTS:
        raise UsageError(
            f"the part '{part}' is unknown; expected one of {', '.join(PARTS)}"
            f"{nearest(part, PARTS)}"
        )


@dataclass
class LeaveOneOut(Splitter):
    """Split each user's history by position.

    In ``test`` the target is the last interaction, in ``valid`` the second last; the history is
    everything before the target. Both leave out users with fewer than 3 interactions. ``train``
    has the histories of all users without their last two interactions, or the whole history of
    users with fewer than 3.
    """

    needs: ClassVar[str] = "users with 3 interactions or more"

    def part(self, sequences: Sequences, part: str) -> Split:
        """See :class:`Splitter`."""
        check_part(part)
        starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
        # With fewer, no history would be left before the two that are held out.
        long_enough = ends - starts >= 3
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
            left_out=int(np.count_nonzero(~long_enough & (ends > starts))),
        )


@dataclass(frozen=True)
class ChosenSplit:
    """A registered split with its settings.

    Attributes:
        name: registered name.
        splitter: the split with these settings.
    """

    name: str
    splitter: Splitter

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by name, as plain values."""
        return asdict(self.splitter)  # type: ignore[call-overload, no-any-return]

    def part(self, data: SequenceData, part: str) -> Split:
        """One part of data; messages name the data.

        Raises:
            DataError: the data cannot be split in this way, or ``valid`` or ``test`` has no target.
        """
        try:
            found = self.splitter.part(data.sequences, part)
        except DataError as error:
            raise DataError(f"{data.name}: {error}") from None
        if part != "train" and not len(found):
            what = "validation" if part == "valid" else "testing"
            settings = ", or other settings of data.split" if self.settings else ""
            raise DataError(
                f"{data.name}: nothing is left for {what} under the split '{self.name}', which "
                f"needs {self.splitter.needs}; give more data{settings}"
            )
        return found

    def facts(self, sequences: Sequences, split: Split) -> dict[str, Any]:
        """What a part holds out, as plain values, for results and stored metrics.

        Args:
            sequences: the data that were split.
            split: the part ``valid`` or ``test``.

        Returns:
            ``name`` and ``settings`` of the split; the numbers of ``targets``, of ``users`` with
            one and of users that are ``left_out``; and, if the part is cut by time, the moment
            ``begins`` in unix seconds and the number of ``new_users``, whose first event comes
            at that moment or later.
        """
        users = np.unique(split.users)
        found: dict[str, Any] = {
            "name": self.name,
            "settings": self.settings,
            "targets": len(split),
            "users": len(users),
            "left_out": split.left_out,
        }
        if split.begins is not None and sequences.timestamps is not None:
            first = sequences.timestamps[sequences.offsets[users]]
            found["begins"] = split.begins
            found["new_users"] = int(np.count_nonzero(first >= split.begins))
        return found


def split_text(facts: Mapping[str, Any]) -> str:
    """The facts about a part in one line, for messages."""
    begins = facts.get("begins")
    since = "" if begins is None else f" from {day_and_time(begins)} on"
    text = f"{facts['targets']:,} targets of {facts['users']:,} users{since}"
    if facts.get("new_users"):
        text += f", {facts['new_users']:,} of them without an event before"
    if facts["left_out"]:
        text += (
            f"; {facts['left_out']:,} users are left out: they have no earlier event to "
            "recommend from"
        )
    return text


def choose_split(name: str, settings: Mapping[str, Any]) -> ChosenSplit:
    """A registered split with settings.

    Raises:
        UnknownNameError: no split has the name.
        ConfigError: a setting is unknown or has an invalid value.
    """
    target = catalogue().splits.get(name).load()
    if settings and not fields(target):
        raise ConfigError(
            f"the split '{name}' has no settings; leave out data.split ({', '.join(settings)}), or "
            "choose a protocol with another split, such as time-full"
        )
    return ChosenSplit(name, structure(target, settings, "data.split"))


def train_counts(sequences: Sequences, train: Split, items: int) -> Int64s:
    """The number of events of each item that are trained on (V,).

    Args:
        sequences: the histories of all users.
        train: the training part; in joined data only the newer events count.
        items: size V of the vocabulary.
    """
    if train.first_target is not None:
        train = replace(train, history_start=train.first_target)
    counts = np.bincount(sequences.items[in_histories(sequences, train)], minlength=items + 1)
    return counts[1:]


def leaked_events(data: SequenceData, trained: ChosenSplit, tested: ChosenSplit) -> int:
    """How many events one split trains or validates on that another one keeps for testing.

    Under a split by time these are all events after the cut, not only the targets: the future of
    other users must not be learned from either.

    Raises:
        DataError: the data cannot be split in one of the ways.
    """
    used, allowed = (_not_for_testing(data, each, whole) for each, whole in
        ((trained, False), (tested, True)))  # fmt: skip
    return int(np.count_nonzero(used & ~allowed))


def _not_for_testing(data: SequenceData, chosen: ChosenSplit, whole: bool) -> npt.NDArray[np.bool_]:
    """The events of training and the targets of validation (N,); all of validation if ``whole``."""
    valid = chosen.part(data, "valid")
    inside = in_histories(data.sequences, chosen.part(data, "train"))
    if whole:
        inside |= in_histories(data.sequences, valid)
    inside[valid.target] = True
    return inside


def in_histories(sequences: Sequences, split: Split) -> npt.NDArray[np.bool_]:
    """Whether each position of the sequences is in a history of a part (N,)."""
    inside = np.zeros(len(sequences.items) + 1, dtype=np.int32)
    np.add.at(inside, split.history_start, 1)
    np.subtract.at(inside, split.history_end, 1)
    return np.cumsum(inside[:-1], dtype=np.int32) > 0
