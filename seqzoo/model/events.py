"""What a session keeps of one user's events, in addition to the state of the model."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from seqzoo.errors import UsageError
from seqzoo.validation import read_time

__all__ = ["Events", "elapsed", "parse_event"]

_FORMS = (tuple, list)


class Events:
    """The events of one user.

    Attributes:
        count: number of events so far.
        newest: unix seconds of the newest event; None if the events have no timestamps.
        seen: the different items so far, as ascending indices.
        items: indices of the newest events, oldest first: at least the newest ``kept``.
        times: their unix seconds; empty if the events have none.
        features: their values by the name of a feature; empty if the model reads none.
    """

    __slots__ = ("_kept", "count", "features", "items", "newest", "seen", "times")

    def __init__(self, kept: int | None) -> None:
        """No events yet.

        Args:
            kept: how many of the newest events are needed later; None for all of them.
        """
        self._kept = kept
        self.count = 0
        self.newest: int | None = None
        self.seen = array("i")
        self.items = array("i")
        self.times = array("q")
        self.features: dict[str, list[Any]] = {}

    def add(
        self, item: int, timestamp: int | None, features: Mapping[str, Any] | None = None
    ) -> None:
        """Record one event that ``elapsed`` has accepted, and the features that are read."""
        self.count += 1
        self.newest = timestamp
        index = bisect_left(self.seen, item)
        if index == len(self.seen) or self.seen[index] != item:
            self.seen.insert(index, item)
        if self._kept == 0:
            return
        self.items.append(item)
        if timestamp is not None:
            self.times.append(timestamp)
        for name, value in (features or {}).items():
            self.features.setdefault(name, []).append(value)
        # Cutting at twice the length moves each event once on average.
        if self._kept is not None and len(self.items) >= 2 * self._kept:
            del self.items[: -self._kept], self.times[: -self._kept]
            for values in self.features.values():
                del values[: -self._kept]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(a.itemsize * len(a) for a in (self.seen, self.items, self.times))


def elapsed(count: int, newest: int | None, timestamp: int | None, of: str) -> int | None:
    """Seconds from the previous event of a user to the next one.

    Args:
        count: number of events so far.
        newest: unix seconds of the newest of them; None without timestamps.
        timestamp: unix seconds of the next event; None without.
        of: whose events they are, for the message.

    Returns:
        0 for the first event, and None without timestamps.

    Raises:
        UsageError: only some events have a timestamp, or the next event is earlier.
    """
    if count and (timestamp is None) != (newest is None):
        raise UsageError(
            f"give a timestamp with every event of {of} or with none; the {count} so far have "
            f"{'none' if newest is None else 'one each'}"
        )
    if timestamp is None:
        return None
    if newest is None:
        return 0
    if timestamp < newest:
        raise UsageError(
            f"timestamp {timestamp} is earlier than that of the previous event of {of} "
            f"({newest}); observe events in time order"
        )
    return timestamp - newest


def parse_event(event: Any) -> tuple[str, Any, int | None, Mapping[str, Any]]:
    """The user, the item, the timestamp and the features of an event.

    Raises:
        UsageError: it has another form.
    """
    if not isinstance(event, _FORMS) or not 2 <= len(event) <= 4:
        raise UsageError(
            f"an event is {event!r}; expected (user, item) or (user, item, timestamp), with "
            "features as a mapping at the end"
        )
    user, item, timestamp, features = (*event, None, None)[:4]
    if not isinstance(user, str):
        raise UsageError(f"user {user!r} is {type(user).__name__}; user ids are strings")
    if features and not isinstance(features, Mapping):
        raise UsageError(f"the features of an event are {features!r}; expected a mapping by name")
    return user, item, None if timestamp is None else read_time(timestamp), features or {}
