"""``StoredSessions``: sessions of many users that survive the process."""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqzoo.errors import CheckpointError, SeqzooError, StoreError, UsageError, error_text
from seqzoo.interfaces import State
from seqzoo.model.events import parse_event
from seqzoo.model.session import identity
from seqzoo.model.session_database import Position, SessionDatabase, StoredEvent
from seqzoo.model.session_file import pack_states, unpack_states
from seqzoo.model.sessions import Sessions
from seqzoo.storage.integrity import sha256_of_document
from seqzoo.validation import list_of, name_of, whole_number

if TYPE_CHECKING:
    from seqzoo.model.recommendations import RecommendationLists
    from seqzoo.model.sequence_model import SequenceModel

__all__ = [
    "StoredSessions",
    "check_store",
]

logger = logging.getLogger("seqzoo")

_SAVE_EVERY = 256
"""Events of a user after which the state is stored again: more would take long to repeat."""
_FOLLOW = 64
"""Events that are computed when they are observed; users who are further behind wait until they
ask for recommendations."""
_MONTH = 30 * 86_400.0


@dataclass
class _CachedState:
    """What is known of a state in memory.

    Attributes:
        number: the user in the database.
        count: events that the state has read.
        saved: events that the state in the database has read.
        used: when it was last used, in seconds since 1970.
    """

    number: int
    count: int
    saved: int
    used: float


class StoredSessions:
    """The sessions of many users with a model, kept in an SQLite file.

    ``observe`` returns once the events are on the disk. States are held in memory for the most
    recently active users of this process and stored when they leave it. A state that is missing or
    belongs to another model is computed again from the events. Several processes may share a file.

    Calls from several threads take turns.

    Raises:
        UsageError: the model reads features of events or users, or an argument is invalid.
        StoreError: the file is not a store or cannot be used.
    """

    def __init__(
        self,
        model: "SequenceModel",
        store: str | os.PathLike[str],
        *,
        name: str = "default",
        max_states: int = 10_000,
        max_stored: int = 100_000,
        max_age: float = _MONTH,
    ) -> None:
        """Open the store, or make a new one.

        Args:
            model: the model.
            store: the file.
            name: sessions of different names in a file are separate.
            max_states: states in memory.
            max_stored: states in the file; events are never removed.
            max_age: seconds after which an unused state is removed.
        """
        if model.reads.of_events:
            raise UsageError(
                f"a model of '{model.architecture}' reads more of an event than its item and "
                "timestamp, which is all that a store keeps; use model.sessions() without a store"
            )
        self.model = model
        self.name = name_of("the name of sessions", name)
        self._most = whole_number("max_states", max_states, 1)
        self._most_stored = whole_number("max_stored", max_stored, 0)
        self._age = max_age
        self._memory = Sessions(model)
        self._store = SessionDatabase(store)
        self._identity = sha256_of_document(identity(model))
        self._cached: OrderedDict[str, _CachedState] = OrderedDict()
        self._lock = threading.RLock()
        self._put = 0

    def __len__(self) -> int:
        """Number of users with at least one event."""
        with self._lock:
            return self._store.count(self.name)

    def __contains__(self, user: object) -> bool:
        return isinstance(user, str) and self.events(user) > 0

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return self._store.users(self.name)

    @property
    def in_memory(self) -> int:
        """Number of users whose states are in memory."""
        return len(self._cached)

    @property
    def state_bytes(self) -> int:
        """Bytes of the tensors and arrays in memory."""
        return self._memory.state_bytes

    def events(self, user: str) -> int:
        """Number of events of a user so far; 0 for a user without a session."""
        with self._lock:
            found = self._store.position(self.name, user)
            return 0 if found is None else found.count

    def observe(self, events: Sequence[tuple[str, str] | tuple[str, str, int | None]]) -> None:
        """Add events of any users; they are on the disk when this returns.

        Arguments and errors are as for ``Sessions.observe``; no event is added if one is refused.

        Raises:
            StoreError: the store cannot be written; no event is added.
        """
        read = [self._read(event) for event in list_of("events", "(user, item, timestamp)", events)]
        with self._lock:
            self._store.append(self.name, read, together=True)
            self._follow({event.user for event in read})

    def observe_each(self, events: Sequence[Any]) -> list[SeqzooError | None]:
        """Add the events that are valid, as ``observe`` does, with one write for all.

        Returns:
            None for each event that was added, and the error of each other one.

        Raises:
            StoreError: the store cannot be written; no event is added.
        """
        errors: list[SeqzooError | None] = [None] * len(events)
        indices, read = [], []
        for index, event in enumerate(events):
            try:
                read.append(self._read(event))
                indices.append(index)
            except SeqzooError as error:
                errors[index] = error
        with self._lock:
            found = self._store.append(self.name, read, together=False)
            added = set()
            for index, event, refusal in zip(indices, read, found, strict=True):
                errors[index] = refusal
                if refusal is None:
                    added.add(event.user)
            self._follow(added)
        return errors

    def recommend(self, users: Sequence[str], k: int = 10, **options: Any) -> "RecommendationLists":
        """The ``k`` best items for each user after the events so far, best first.

        Arguments and errors are as for ``Sessions.recommend``.
        """
        names = list_of("users", "user ids", users)
        with self._lock:
            self._sync({name for name in names if isinstance(name, str)})
            answers = self._memory.recommend(names, k, **options)
            self._evict()
        return answers

    def forget(self, user: str) -> int:
        """Remove all that the store keeps of a user, for every model; the number of events."""
        with self._lock:
            removed = self._store.forget(user)
            self._drop(user)
        return removed

    def close(self) -> None:
        """Store the states in memory, and close the file."""
        with self._lock:
            self._save(list(self._cached))
            self._store.evict(self._most_stored, self._age)
            self._store.close()

    def __enter__(self) -> "StoredSessions":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, event: Any) -> StoredEvent:
        user, item, timestamp, features = parse_event(event)
        if features:
            raise UsageError(
                f"the event of user '{user}' has features ({', '.join(features)}); a store keeps "
                "items and timestamps only"
            )
        self.model.vocabulary.index(item)
        return StoredEvent(user, item, timestamp)

    def _follow(self, users: set[str]) -> None:
        """Compute the states after new events, unless a user is far behind.

        The events are stored already, so nothing here raises: a state that fails is computed again
        when recommendations are requested, and fails there.
        """
        try:
            near = set()
            for user in users:
                position = self._store.position(self.name, user)
                cached = self._cached.get(user)
                done = 0 if cached is None else cached.count
                if position is not None and position.count - done <= _FOLLOW:
                    near.add(user)
            self._sync(near)
            self._evict()
        # The parts of a model are third-party code.
        except Exception as error:
            logger.warning("states are computed later: %s", error_text(error))

    def _sync(self, users: set[str]) -> None:
        """Bring the states in memory up to date with the events in the database."""
        try:
            self._advance(users)
        # States may be damaged, and the parts of a model are third-party code: all states are
        # computed again from the events.
        except Exception as error:
            if isinstance(error, StoreError):
                raise
            logger.warning("states are computed again: %s", error_text(error))
            numbers = [self._cached[user].number for user in users if user in self._cached]
            for user in users:
                self._drop(user)
            self._store.drop_states(numbers)
            self._advance(users)

    def _advance(self, users: set[str]) -> None:
        """Read what is new in the store, and step the states."""
        known = self.model.vocabulary
        now = time.time()

        def read() -> tuple[list[tuple[str, str, int | None]], list[str]]:
            missing, lost = [], []
            for user in sorted(users):
                position = self._store.position(self.name, user)
                if position is None:
                    lost.append(user)
                    continue
                cached = self._cached.get(user)
                if cached is None or cached.number != position.id:
                    cached = self._restore(user, position)
                events = self._store.events(cached.number, cached.count)
                missing += [(user, item, time) for item, time in events if item in known]
                cached.count, cached.used = position.count, now
                self._cached[user] = cached
                self._cached.move_to_end(user)
            return missing, lost

        missing, lost = self._store.reading(read)
        for user in lost:
            self._drop(user)
        self._memory.observe(missing)
        behind = [
            user
            for user in users
            if user in self._cached
            and self._cached[user].count - self._cached[user].saved >= _SAVE_EVERY
        ]
        self._save(behind)

    def _restore(self, user: str, position: Position) -> _CachedState:
        """Take a stored state into memory; without one, start from the first event."""
        self._drop(user)
        cached = _CachedState(position.id, 0, 0, 0.0)
        known = self.model.vocabulary
        stored = self._store.state(position.id, self._identity)
        states: dict[str, State] | None = None
        if stored is not None and stored.number <= position.count:
            try:
                states = unpack_states(stored.state, self.model.device)
                cached.count = cached.saved = stored.number
            except CheckpointError as error:
                logger.warning("a stored state is computed again: %s", error)
        bound = self._memory.bound
        if states is None and (bound is None or position.count < bound):
            return cached
        # A window that is full has no state: its events are enough.
        count = cached.count if states is not None else position.count
        events = [
            (known.index(item), time)
            for item, time in self._store.events(position.id, 0)[:count]
            if item in known
        ]
        if states is None and bound is not None and len(events) < bound:
            return cached
        self._memory.restore(user, events, states)
        cached.count = count
        return cached

    def _drop(self, user: str) -> None:
        self._cached.pop(user, None)
        self._memory.forget(user)

    def _save(self, users: Iterable[str]) -> None:
        """Store the states of users that have changed."""
        packed = []
        for user in users:
            cached = self._cached[user]
            states = self._memory.states_of(user)
            if cached.count > cached.saved:
                cached.saved = cached.count
                if states is not None:
                    packed.append((cached.number, cached.count, pack_states(states)))
        if packed:
            self._store.put_states(self._identity, packed)
            self._put += len(packed)
        if self._put > 1000:
            self._put = 0
            self._store.evict(self._most_stored, self._age)

    def _evict(self) -> None:
        """Store and remove the states of the least recently active users."""
        before = time.time() - self._age
        extra = len(self._cached) - self._most
        gone: list[str] = []
        for user, cached in self._cached.items():
            if len(gone) >= extra and cached.used > before:
                break
            gone.append(user)
        if gone:
            self._save(gone)
            for user in gone:
                self._drop(user)


def check_store(store: object, more: dict[str, Any]) -> None:
    """Check that options of a store come with one.

    Raises:
        UsageError: there are options and no store.
    """
    if store is None and more:
        raise UsageError(f"{', '.join(more)} needs a store: model.sessions(store='sessions.db')")
