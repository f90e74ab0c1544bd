"""``SessionDatabase``: the events of users and the states after them, in an SQLite file.

Events are durable: they are on the disk before a call returns. States are a cache: one that is
missing or damaged is computed again from the events. Several processes may use a file at the same
time.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from seqzoo.errors import SeqzooError, StoreError
from seqzoo.model.events import elapsed

__all__ = ["Position", "ResultT", "SessionDatabase", "StoredEvent", "StoredState"]

_APPLICATION = 0x7365717A
_VERSION = 1
_BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    user TEXT NOT NULL,
    count INTEGER NOT NULL,
    newest INTEGER,
    UNIQUE (model, user)
) STRICT;
CREATE INDEX users_by_user ON users (user);
CREATE TABLE events (
    id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    number INTEGER NOT NULL,
    item TEXT NOT NULL,
    time INTEGER,
    PRIMARY KEY (id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE states (
    id INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    identity TEXT NOT NULL,
    number INTEGER NOT NULL,
    used REAL NOT NULL,
    state BLOB NOT NULL
) STRICT;
CREATE INDEX states_by_used ON states (used);
"""

ResultT = TypeVar("ResultT")


class StoredEvent(NamedTuple):
    """One event of a user, with the item's id as it was given."""

    user: str
    item: str
    timestamp: int | None


@dataclass(frozen=True)
class Position:
    """A user's row id and number of stored events."""

    id: int
    count: int
    newest: int | None


class StoredState(NamedTuple):
    """A state, and the number of events after which it holds."""

    number: int
    state: bytes


class SessionDatabase:
    """The file. Calls of one object take turns; the caller holds a lock.

    Raises:
        StoreError: the file is something else, is damaged, or cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        with self._errors():
            # Nobody else may read what users do.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        for setting in (
            "trusted_schema = OFF",
            "foreign_keys = ON",
            "secure_delete = ON",  # what is forgotten is overwritten
        ):
            self._connection.execute(f"PRAGMA {setting}")
        application = self._pragma("application_id")
        tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application not in (0, _APPLICATION) or (application == 0 and tables):
            raise StoreError(
                f"{self.path} is a database of another program; choose another file as the store"
            )
        self._connection.execute("PRAGMA journal_mode = WAL")
        # Each commit waits for the disk, so that an event survives a power cut too.
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._writing():
            # Another process may have been faster.
            if self._pragma("application_id") == 0:
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        version = self._pragma("user_version")
        if version != _VERSION:
            raise StoreError(
                f"{self.path} has version {version} of the format of stores, and this seqzoo "
                f"reads version {_VERSION}; upgrade seqzoo, or choose another file"
            )

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._errors():
            self._connection.close()

    def append(
        self, model: str, events: Sequence[StoredEvent], *, together: bool
    ) -> list[SeqzooError | None]:
        """Write events; they are on the disk when this returns.

        Args:
            model: the sessions' name.
            events: those of one user are in their order.
            together: write none of them if one is refused, and raise its error.

        Returns:
            For each event None, or the error for which it was not written.

        Raises:
            UsageError: an event is refused and ``together`` is true.
        """
        errors: list[SeqzooError | None] = [None] * len(events)
        positions: dict[str, Position] = {}
        rows = []
        with self._errors(), self._writing():
            for index, event in enumerate(events):
                before = positions.get(event.user) or self._position(model, event.user)
                count, newest = (0, None) if before is None else (before.count, before.newest)
                try:
                    elapsed(count, newest, event.timestamp, f"user '{event.user}'")
                except SeqzooError as error:
                    if together:
                        raise
                    errors[index] = error
                    continue
                if before is not None:
                    number = before.id
                else:
                    query = "INSERT INTO users (model, user, count) VALUES (?, ?, 0)"
                    number = int(
                        self._connection.execute(query, (model, event.user)).lastrowid or 0
                    )
                positions[event.user] = Position(number, count + 1, event.timestamp)
                rows.append((number, count, event.item, event.timestamp))
            self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
            self._connection.executemany(
                "UPDATE users SET count = ?, newest = ? WHERE id = ?",
                [(each.count, each.newest, each.id) for each in positions.values()],
            )
        return errors

    def _position(self, model: str, user: str) -> Position | None:
        query = "SELECT id, count, newest FROM users WHERE model = ? AND user = ?"
        found = self._connection.execute(query, (model, user)).fetchone()
        return None if found is None else Position(*found)

    def position(self, model: str, user: str) -> Position | None:
        """How far a user has come; None without events."""
        with self._errors():
            return self._position(model, user)

    def reading(self, read: Callable[[], ResultT]) -> ResultT:
        """The result of ``read``, all of whose calls see the same moment."""
        with self._errors():
            self._connection.execute("BEGIN")
            try:
                return read()
            finally:
                self._connection.execute("COMMIT")

    def events(self, number: int, first: int) -> list[tuple[str, int | None]]:
        """Items and timestamps of a user's events from a position on."""
        query = "SELECT item, time FROM events WHERE id = ? AND number >= ? ORDER BY number"
        return self._connection.execute(query, (number, first)).fetchall()

    def state(self, number: int, identity: str) -> StoredState | None:
        """The state of a user, if it is one of this model."""
        query = "SELECT number, state FROM states WHERE id = ? AND identity = ?"
        found = self._connection.execute(query, (number, identity)).fetchone()
        return None if found is None else StoredState(*found)

    def put_states(self, identity: str, states: Sequence[tuple[int, int, bytes]]) -> None:
        """Store states: number of the user, number of events, and the state.

        States of users who have been forgotten by now are left out.
        """
        now = time.time()
        query = (
            "INSERT INTO states SELECT id, ?, ?, ?, ? FROM users WHERE id = ? AND count >= ? "
            "ON CONFLICT (id) DO UPDATE SET identity = excluded.identity, "
            "number = excluded.number, used = excluded.used, state = excluded.state"
        )
        with self._errors(), self._writing():
            self._connection.executemany(
                query,
                [(identity, count, now, state, number, count) for number, count, state in states],
            )

    def drop_states(self, numbers: Sequence[int]) -> None:
        """Remove the states of users."""
        with self._errors(), self._writing():
            self._connection.executemany(
                "DELETE FROM states WHERE id = ?", [(number,) for number in numbers]
            )

    def evict(self, most: int, seconds: float) -> int:
        """Remove states that are older, and the oldest if there are more; their number."""
        with self._errors(), self._writing():
            old = self._connection.execute(
                "DELETE FROM states WHERE used < ?", (time.time() - seconds,)
            ).rowcount
            more = self._connection.execute(
                "DELETE FROM states WHERE id IN "
                "(SELECT id FROM states ORDER BY used DESC LIMIT -1 OFFSET ?)",
                (most,),
            ).rowcount
        return old + more

    def forget(self, user: str) -> int:
        """Remove everything of a user, for every model; the number of events."""
        with self._errors():
            with self._writing():
                removed = self._connection.execute(
                    "SELECT coalesce(sum(count), 0) FROM users WHERE user = ?", (user,)
                ).fetchone()[0]
                self._connection.execute("DELETE FROM users WHERE user = ?", (user,))
            # The log of writes still holds the events; other readers may keep it for a moment.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return int(removed)

    def count(self, model: str) -> int:
        """The number of users with events."""
        query = "SELECT count(*) FROM users WHERE model = ?"
        with self._errors():
            return int(self._connection.execute(query, (model,)).fetchone()[0])

    def users(self, model: str) -> Iterator[str]:
        """The users with events."""
        query = "SELECT user FROM users WHERE model = ? ORDER BY id"
        with self._errors(), closing(self._connection.execute(query, (model,))) as rows:
            found = [user for (user,) in rows]
        return iter(found)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = "check its disk and permissions"
            if "locked" in str(error) or "busy" in str(error):
                remedy = "another process keeps writing there; try again"
            elif "not a database" in str(error) or "malformed" in str(error):
                remedy = "it is damaged or no store of sessions: choose another file"
            raise StoreError(f"the store {self.path} cannot be used: {error}; {remedy}") from error
        except OSError as error:
            raise StoreError(
                f"the store {self.path} cannot be opened: {error.strerror}; choose another file"
            ) from error
