"""``Sessions``: streams the events of many users at once, with recommendations for any of them."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqzoo.errors import SeqzooError, UsageError
from seqzoo.interfaces import State
from seqzoo.model.choice import Candidates, Exclusions, read_choice
from seqzoo.model.context import read_event, window_batch
from seqzoo.model.events import Events, elapsed, parse_event
from seqzoo.model.histories import ON_COLD
from seqzoo.model.inference import inference
from seqzoo.model.states import Form, Pool, put_together, take_apart
from seqzoo.model.streaming import Streaming, step_items
from seqzoo.validation import list_of, one_of, read_time, whole_number

if TYPE_CHECKING:
    from seqzoo.model.recommendations import RecommendationLists
    from seqzoo.model.sequence_model import SequenceModel

__all__ = [
    "Sessions",
]

_CHUNK_BYTES = 2**22
_MOST_ROWS, _FEWEST_ROWS = 128, 16


class _User(Events):
    """The events of one user, and where the user's state is: a row of a pool, or nowhere."""

    __slots__ = ("name", "pool", "row")

    def __init__(self, kept: int, name: str) -> None:
        super().__init__(kept)
        self.name = name
        self.pool: Pool | None = None
        self.row = 0


_Event = tuple[_User, int, int | None, int | None, dict[str, Any]]
"""User, item index, seconds since the user's previous event, unix seconds, features."""


class Sessions:
    """The states of many users with a model.

    The results are those of a ``Session`` for each user, within the rounding of larger matrix
    products. The states are stacked, so a call computes all of its users together. As in a
    ``Session``, a user with more events than the model's maximum length has no state: events are
    only stored, and the next recommendation encodes the user's window.

    Calls from several threads take turns.
    """

    def __init__(self, model: "SequenceModel") -> None:
        self.model = model
        self._streaming = Streaming.of(model)
        self._users: dict[str, _User] = {}
        self._pools: dict[Form, Pool] = {}
        self._lock = threading.Lock()

    @property
    def bound(self) -> int | None:
        """Number of events that have a state; users with more have a window. None for any."""
        return self._streaming.bound

    def __len__(self) -> int:
        """Number of users with at least one event."""
        return len(self._users)

    def __contains__(self, user: object) -> bool:
        return user in self._users

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._users))

    @property
    def state_bytes(self) -> int:
        """Bytes of the tensors and arrays that represent all users.

        ``state_bytes / len(sessions)`` is the memory of a user. Python's own objects add about 500
        bytes per user; rows that are reserved for more users are not counted.
        """
        with self._lock:
            states = sum(len(pool) * pool.row_bytes for pool in self._pools.values())
            return states + sum(user.nbytes for user in self._users.values())

    def events(self, user: str) -> int:
        """Number of events of a user so far; 0 for a user without a session."""
        found = self._users.get(user)
        return 0 if found is None else found.count

    def observe(self, events: Sequence[tuple[Any, ...]]) -> None:
        """Add events of any users.

        Args:
            events: user, item id, unix seconds for models that use timestamps, and a mapping of
                values for models that read features. Events of one user are applied in the order
                given; their timestamps must not decrease.

        Raises:
            UnknownItemError: the model does not know an item; no session changes.
            UsageError: an event has another form, or its timestamp is missing although other
                events of the user have one, is not a whole number, or is earlier than the previous
                one; no session changes.
        """
        with self._lock:
            users, rounds = self._read(events)
            try:
                with inference(self.model):
                    for simultaneous in rounds:
                        self._apply(simultaneous)
            finally:
                # The parts of a model are third-party code: some users may have been stepped.
                self._users.update((name, user) for name, user in users.items() if user.count)

    def observe_each(self, events: Sequence[Any]) -> list[SeqzooError | None]:
        """Add the events that are valid, as ``observe`` does.

        Returns:
            None for each event that was added, and the error of each other one.
        """
        errors: list[SeqzooError | None] = [None] * len(events)
        try:
            self.observe(events)
        except SeqzooError as error:
            if len(events) == 1:
                return [error]
            for position, event in enumerate(events):
                errors[position] = self.observe_each([event])[0]
        return errors

    def recommend(
        self,
        users: Sequence[str],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Candidates | None = None,
        exclude: Exclusions | None = None,
        at: Sequence[int] | None = None,
        batch_size: int = 256,
        on_unknown: str = "skip",
        on_cold: str = "error",
    ) -> "RecommendationLists":
        """The ``k`` best items for each user after the events so far, best first.

        Arguments are as for the model's ``recommend_many``; ``on_cold`` chooses the answer for
        users without a session.

        Raises:
            UsageError: a user has no session and ``on_cold`` is ``error``, or ``k`` is out of
                range.
            UnknownItemError: no candidate is known, or an id is unknown and ``on_unknown`` is
                ``error``.
        """
        one_of("on_cold", on_cold, ON_COLD)
        batch_size = whole_number("batch_size", batch_size, 1)
        names = list_of("users", "user ids", users)
        times: list[int] | None = None
        if at is not None:
            times = [read_time(each) for each in list_of("at", "unix seconds", at)]
            if len(times) != len(names):
                raise UsageError(f"at has {len(times)} entries for {len(names)} users")
        vocabulary = self.model.vocabulary
        choice = read_choice(vocabulary, len(names), k, candidates, exclude, on_unknown)
        with self._lock:
            found = [self._users.get(name) for name in names]
            if on_cold == "error" and None in found:
                raise UsageError(
                    f"user {names[found.index(None)]!r} has no session: observe events first, or "
                    "choose what users without one get: on_cold popular or empty"
                )
            rows = [row for row, user in enumerate(found) if user is not None]
            known = [user for user in found if user is not None]
            with inference(self.model):
                if times is not None and self.model.reads.query_times:
                    hidden = self._answers(known, [times[row] for row in rows])
                else:
                    hidden = self._hidden(known)
            seen = [() if user is None else user.seen for user in found] if exclude_seen else None
            batches = [
                (rows[start : start + batch_size], hidden[start : start + batch_size])
                for start in range(0, len(rows), batch_size)
            ]
            return self.model.recommend_batches(batches, choice, seen, on_cold, len(names))

    def forget(self, user: str) -> int:
        """Remove a user's session; the number of its events, 0 for a user without one."""
        with self._lock:
            found = self._users.pop(user, None)
            if found is None:
                return 0
            with torch.inference_mode():
                self._remove(_rows_by_pool([found]))
            return found.count

    def states_of(self, user: str) -> dict[str, State] | None:
        """The states of one user, as ``restore`` takes them; None for a user without one."""
        with self._lock:
            found = self._users.get(user)
            if found is None or found.pool is None or not self._streaming.keeps_state(found.count):
                return None
            with torch.inference_mode():
                tensors = [tensor.clone() for tensor in found.pool.read([found.row])]
            hidden, embedder, backbone = put_together(found.pool.form, iter(tensors))
            return {"embedder": embedder, "backbone": backbone, "hidden": hidden}

    def restore(
        self,
        user: str,
        events: Sequence[tuple[int, int | None]],
        states: Mapping[str, State] | None,
    ) -> None:
        """Replace a user's session by events that were observed before.

        Args:
            user: the user.
            events: item indices and timestamps, oldest first.
            states: the states after the events; None if they are more than ``bound``.
        """
        self.forget(user)
        found = _User(self._streaming.window, user)
        for item, timestamp in events:
            found.add(item, timestamp)
        with self._lock, torch.inference_mode():
            if states is not None:
                tensors: list[Tensor] = []
                state = (states["hidden"], states["embedder"], states["backbone"])
                form = take_apart(state, 1, tensors)
                self._move([found], form, tensors)
            self._users[user] = found

    def _read(self, events: Any) -> tuple[dict[str, _User], list[list[_Event]]]:
        """Users by name and their events, checked; in each round a user has at most one event."""
        users: dict[str, _User] = {}
        newest: dict[str, tuple[int, int | None]] = {}
        rounds: list[list[_Event]] = []
        for event in list_of("events", "(user, item, timestamp)", events):
            name, item, timestamp, given = parse_event(event)
            user = users.get(name)
            if user is None:
                user = users[name] = self._users.get(name) or _User(self._streaming.window, name)
                newest[name] = (user.count, user.newest)
            count, before = newest[name]
            index = self.model.vocabulary.index(item)
            passed = elapsed(count, before, timestamp, f"user '{name}'")
            newest[name] = (count + 1, timestamp)
            if count - user.count == len(rounds):
                rounds.append([])
            features = read_event(self.model, given)
            rounds[count - user.count].append((user, index, passed, timestamp, features))
        return users, rounds

    def _apply(self, events: list[_Event]) -> None:
        """Apply events of different users."""
        groups: dict[tuple[Pool | None, bool], list[_Event]] = {}
        windowed = []
        for event in events:
            user = event[0]
            if self._streaming.keeps_state(user.count):
                groups.setdefault((user.pool, event[3] is None), []).append(event)
            else:
                windowed.append(event)
        self._remove(_rows_by_pool([event[0] for event in windowed]))
        for user, item, _, timestamp, features in windowed:
            user.pool = None
            user.add(item, timestamp, features)
        for (pool, _), group in groups.items():
            group.sort(key=lambda event: event[0].row)
            rows = _rows_at_once(pool)
            chunks = [group[start : start + rows] for start in range(0, len(group), rows)]
            # From the end, because the last rows take the place of rows that are removed.
            for chunk in reversed(chunks):
                self._step(pool, chunk)

    def _step(self, pool: Pool | None, events: list[_Event]) -> None:
        """One event of each of some users whose states are in one pool."""
        model = self.model
        holders = [event[0] for event in events]
        rows = [holder.row for holder in holders]
        if pool is None:
            states = None, model.backbone.initial_state(len(events))
        else:
            _, *states = put_together(pool.form, iter(pool.read(rows)))
        # All have timestamps or none.
        gaps = [event[2] for event in events if event[2] is not None] or None
        items = [event[1] for event in events]
        state = step_items(model, items, gaps, *states, overwrite=True)
        tensors: list[Tensor] = []
        form = take_apart(state, len(events), tensors)
        if pool is not None and form == pool.form:
            pool.write(rows, tensors)
        else:
            self._move(holders, form, tensors)
        for user, item, _, timestamp, _ in events:
            user.add(item, timestamp)

    def _move(self, users: Sequence[_User], form: Form, tensors: list[Tensor]) -> None:
        """Put the states of users into the pool of their form."""
        if form not in self._pools:
            self._pools[form] = Pool(form, tensors)
        before = _rows_by_pool(users)
        # Copied first, because the new state may share memory with the previous one.
        self._pools[form].add(users, tensors)
        self._remove(before)

    def _remove(self, rows: dict[Pool, list[int]]) -> None:
        """Remove rows of pools; pools that become empty are dropped."""
        for pool, gone in rows.items():
            pool.remove(gone)
            if not pool:
                del self._pools[pool.form]

    def _hidden(self, users: Sequence[_User]) -> Tensor:
        """User vectors [B, D]."""
        self._encode_windows(list({id(user): user for user in users if user.pool is None}.values()))
        table = self.model.embedder.item_table
        hidden = table.new_empty(len(users), table.shape[1])
        positions: dict[Pool, list[int]] = {}
        for position, user in enumerate(users):
            if user.pool is not None:
                positions.setdefault(user.pool, []).append(position)
        rows = _rows_by_pool(users)
        for pool, of_pool in positions.items():
            index = torch.tensor([of_pool, rows[pool]], device=hidden.device)
            hidden[index[0]] = pool.tensors[0][index[1]]
        return hidden

    def _answers(self, users: Sequence[_User], at: Sequence[int]) -> Tensor:
        """The vectors of users [B, D] for requests at these times; the states do not change."""
        table = self.model.embedder.item_table
        hidden = table.new_empty(len(users), table.shape[1])
        groups: dict[tuple[Pool | None, bool], list[int]] = {}
        for position, user in enumerate(users):
            pool = user.pool if user.pool is not None and user.pool.has_states else None
            groups.setdefault((pool, user.newest is None), []).append(position)
        for (pool, untimed), positions in groups.items():
            size = _FEWEST_ROWS if pool is None else _rows_at_once(pool)
            for start in range(0, len(positions), size):
                part = positions[start : start + size]
                some = [users[position] for position in part]
                if untimed:
                    hidden[part] = self._hidden(some)
                elif pool is None:
                    hidden[part] = self._at(some, [at[position] for position in part])
                else:
                    waits = [at[p] - (users[p].newest or 0) for p in part]
                    hidden[part] = self._answer(pool, some, waits)
        return hidden

    def _answer(self, pool: Pool, users: Sequence[_User], waits: Sequence[int]) -> Tensor:
        """The vectors [B, D] of users whose states are in one pool, some seconds later."""
        tensors = pool.read([user.row for user in users])
        _, _, state = put_together(pool.form, iter(tensors))
        return self.model.backbone.answer(state, torch.tensor(waits, device=self.model.device))

    def _at(self, users: Sequence[_User], at: Sequence[int | None]) -> Tensor:
        """The vectors of users [B, D], from their newest events; all have timestamps or none."""
        names = [user.name for user in users]
        batch = window_batch(self.model, users, self._streaming.window, at, names)
        return self.model.read(batch.to(self.model.device))

    def _encode_windows(self, users: Sequence[_User]) -> None:
        """Encode the windows of users who have no state, and keep their vectors."""
        for start in range(0, len(users), _FEWEST_ROWS):
            some = users[start : start + _FEWEST_ROWS]
            timed = [user for user in some if user.times]
            untimed = [user for user in some if not user.times]
            for group in filter(None, (timed, untimed)):
                hidden = self._at(group, [None] * len(group))
                tensors: list[Tensor] = []
                form = take_apart((hidden, None, None), len(group), tensors)
                self._move(group, form, tensors)


def _rows_at_once(pool: Pool | None) -> int:
    """Number of users whose states are computed together."""
    rows = _MOST_ROWS if pool is None else _CHUNK_BYTES // pool.row_bytes
    return min(max(rows, _FEWEST_ROWS), _MOST_ROWS)


def _rows_by_pool(users: Sequence[_User]) -> dict[Pool, list[int]]:
    """Where the states of users are; users without a state are left out."""
    rows: dict[Pool, list[int]] = {}
    for user in users:
        if user.pool is not None:
            rows.setdefault(user.pool, []).append(user.row)
    return rows
