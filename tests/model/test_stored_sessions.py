"""Sessions in a store: they survive the process, the model, and each other."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import seqzoo
from seqzoo.errors import StoreError, UnknownItemError, UsageError
from seqzoo.model.session_database import SessionDatabase
from seqzoo.plugins import catalogue
from tests.samples import make_model

STREAMING = (
    "gru4rec",
    "mamba4rec",
    "sasrec",
    "tim4rec",
    "elastic",
    "narm",
    "esasrec",
    "hstu",
    "lrurec",
    "fuxi-linear",
    "tisasrec",
)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.db"


def items(lists):
    return [[each.item for each in best] for best in lists]


def close(found, expected):
    assert items(found) == items(expected)
    for one, other in zip(found, expected, strict=True):
        assert [each.score for each in one] == pytest.approx([e.score for e in other], abs=1e-4)


def some_events(users=5, count=60, seed=0, timed=False):
    chance = random.Random(seed)
    return [
        (
            f"u{chance.randrange(users)}",
            f"item-{chance.randrange(20)}",
            *([1000 + n] if timed else []),
        )
        for n in range(count)
    ]


def test_the_answers_are_those_of_sessions_in_memory(model, path):
    memory, stored = model.sessions(), model.sessions(store=path)
    events = some_events()
    for start in range(0, len(events), 7):
        memory.observe(events[start : start + 7])
        stored.observe(events[start : start + 7])
    users = sorted(memory)
    close(stored.recommend(users, 5), memory.recommend(users, 5))
    assert (len(stored), sorted(stored)) == (len(memory), users)
    assert [stored.events(user) for user in users] == [memory.events(user) for user in users]
    assert "u0" in stored
    assert "nobody" not in stored


@pytest.mark.parametrize("architecture", STREAMING)
@pytest.mark.parametrize("graceful", [True, False])
def test_they_continue_in_another_process(path, architecture, graceful):
    if architecture not in catalogue().architectures:
        pytest.skip(f"{architecture} is switched off")
    model = seqzoo.create(architecture, num_items=20, hidden_size=16, max_length=12)
    timed = model.backbone.uses_time
    events = [
        (user, item.replace("item-", "") if item != "item-0" else "20", *times)
        for user, item, *times in some_events(users=4, timed=timed)
    ]
    memory, stored = model.sessions(), model.sessions(store=path)
    memory.observe(events)
    stored.observe(events[:40])
    stored.recommend(["u0", "u1"], 3)
    if graceful:
        stored.close()
    again = model.sessions(store=path)
    again.observe(events[40:])
    users = sorted(memory)
    close(again.recommend(users, 5), memory.recommend(users, 5))


def test_states_leave_memory_and_come_back(model, path):
    memory = model.sessions()
    stored = model.sessions(store=path, max_states=3)
    for event in some_events(users=12, count=200):
        memory.observe([event])
        stored.observe([event])
        assert stored.in_memory <= 3
    users = sorted(memory)
    close(stored.recommend(users, 5), memory.recommend(users, 5))
    assert stored.in_memory <= 3


def test_states_are_removed_by_age_and_number_and_computed_again(model, path):
    memory = model.sessions()
    with model.sessions(store=path, max_stored=2) as stored:
        stored.observe(some_events())
        memory.observe(some_events())
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM states").fetchone() == (2,)
        database.execute("UPDATE states SET used = 0")
    with model.sessions(store=path, max_age=60) as stored:
        stored._store.evict(100, 60)
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT count(*) FROM states").fetchone() == (0,)
        users = sorted(memory)
        close(stored.recommend(users, 5), memory.recommend(users, 5))


def test_a_damaged_state_is_computed_again(model, path, caplog):
    memory = model.sessions()
    memory.observe(some_events())
    for damage in ("x'00'", "zeroblob(length(state))", "substr(state, 1, length(state) - 1)"):
        with model.sessions(store=path) as stored:
            if not len(stored):
                stored.observe(some_events())
            stored.recommend(sorted(memory), 3)
        with sqlite3.connect(path) as database:
            database.execute(f"UPDATE states SET state = {damage}")
        caplog.clear()
        with model.sessions(store=path) as stored:
            close(stored.recommend(sorted(memory), 5), memory.recommend(sorted(memory), 5))
        assert "computed again" in caplog.text


def test_another_model_computes_its_own_states(model, path):
    events = some_events()
    with model.sessions(store=path) as stored:
        stored.observe(events)
    other = make_model(seed=1)
    memory = other.sessions()
    memory.observe(events)
    users = sorted(memory)
    with other.sessions(store=path) as stored:
        close(stored.recommend(users, 5), memory.recommend(users, 5))
    smaller = make_model(items=10)
    memory = smaller.sessions()
    memory.observe([event for event in events if event[1] in smaller.vocabulary])
    with smaller.sessions(store=path) as stored:
        close(stored.recommend(users, 5), memory.recommend(users, 5))


def test_two_objects_on_one_file_see_each_other(model, path):
    memory = model.sessions()
    one, two = model.sessions(store=path), model.sessions(store=path)
    for number, event in enumerate(some_events()):
        (one, two)[number % 2].observe([event])
        memory.observe([event])
        if number % 5 == 0:
            user = [event[0]]
            close((two, one)[number % 2].recommend(user, 3), memory.recommend(user, 3))
    one.forget("u0")
    assert two.events("u0") == 0
    assert two.recommend(["u0"], 3, on_cold="empty") == [[]]
    two.observe([("u0", "item-3")])
    close(one.recommend(["u0"], 3), [model.recommend(["item-3"], 3)])


def test_names_are_separate(model, path):
    one, two = model.sessions(store=path, name="a"), model.sessions(store=path, name="b")
    one.observe([("ann", "item-1")])
    assert (one.events("ann"), two.events("ann")) == (1, 0)


def test_nothing_of_a_forgotten_user_is_left_in_the_files(model, path):
    stored = model.sessions(store=path)
    stored.observe([("the-user-to-forget", f"item-{n % 20}") for n in range(50)])
    stored.observe([("somebody", "item-1")])
    stored.recommend(["the-user-to-forget"], 3)
    assert stored.forget("the-user-to-forget") == 50
    assert stored.forget("the-user-to-forget") == 0
    for file in path.parent.iterdir():
        assert b"the-user-to-forget" not in file.read_bytes()
    stored.close()


def test_refused_events_change_nothing(model, path):
    stored = model.sessions(store=path)
    with pytest.raises(UnknownItemError):
        stored.observe([("ann", "item-1"), ("ann", "gone")])
    with pytest.raises(UsageError, match="earlier"):
        stored.observe([("ann", "item-1", 5), ("ann", "item-1", 4)])
    assert len(stored) == 0
    errors = stored.observe_each(
        [("ann", "item-1", 5), ("ann", "gone", 6), ("ann", "item-2", 4), 7]
    )
    assert [type(error) for error in errors] == [
        type(None),
        UnknownItemError,
        UsageError,
        UsageError,
    ]
    assert stored.events("ann") == 1
    with pytest.raises(UsageError, match="max_states needs a store"):
        model.sessions(max_states=3)


def test_files_that_are_not_a_store(model, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, despite its name, and long enough to be read as one")
    with pytest.raises(StoreError, match="no store of sessions"):
        model.sessions(store=text)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (a)")
    with pytest.raises(StoreError, match="another program"):
        model.sessions(store=other)
    with pytest.raises(StoreError, match="cannot be opened"):
        model.sessions(store=tmp_path / "no" / "folder.db")
    newer = tmp_path / "newer.db"
    SessionDatabase(newer).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="version 2"):
        model.sessions(store=newer)
    assert SessionDatabase(tmp_path / "new.db").path.stat().st_mode & 0o077 == 0


WRITER = textwrap.dedent("""
    import sys
    from tests.samples import make_model

    sessions = make_model().sessions(store=sys.argv[1])
    for number in range(100_000):
        sessions.observe([(f"{sys.argv[2]}-{number % 7}", f"item-{number % 20}")])
        print(number, flush=True)
""")


def test_an_acknowledged_event_survives_a_kill(model, path):
    """Two processes write to one file until they are killed in the middle of it."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name in ("a", "b")
    ]
    acknowledged = []
    for writer in writers:
        for _ in range(150):
            line = writer.stdout.readline()
        acknowledged.append(int(line))
    for place, writer in enumerate(writers):
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")
        # The last line may be cut off.
        acknowledged[place] = max([acknowledged[place], *map(int, filter(None, rest[:-1]))])
        writer.wait()
        writer.stdout.close()
    with model.sessions(store=path) as stored:
        for name, last in zip("ab", acknowledged, strict=True):
            for user in range(7):
                expected = [n % 20 for n in range(last + 1) if n % 7 == user]
                found = stored.events(f"{name}-{user}")
                # The event that was being written when the kill came may be there too.
                assert len(expected) <= found <= len(expected) + 1
        close(
            stored.recommend(["a-0"], 3, exclude_seen=False),
            [
                model.recommend(
                    [f"item-{n % 20}" for n in range(0, 7 * stored.events("a-0"), 7)],
                    3,
                    exclude_seen=False,
                )
            ],
        )
