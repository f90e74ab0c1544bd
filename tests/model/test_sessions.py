"""Sessions of many users: each user gets what a session of one user gives."""

import threading

import pytest
import torch
from torch.nn import functional

import seqzoo
from seqzoo.errors import SeqzooError, UnknownItemError, UsageError
from seqzoo.interfaces import Backbone
from seqzoo.model import sessions as module
from tests.model.streaming import BOUND
from tests.model.streaming import model as model

USERS = 5


@pytest.fixture
def gru():
    torch.manual_seed(0)
    return seqzoo.create("gru4rec", num_items=40, hidden_size=8, gru_size=8).eval()


def stream(count, seed=0, timed=True):
    """Events of several users in turn, some of whom have many more than others."""
    generator = torch.Generator().manual_seed(seed)
    users = (torch.rand(count, generator=generator) ** 4 * USERS).long().tolist()
    items = torch.randint(1, 41, (count,), generator=generator).tolist()
    gaps = torch.randint(0, 100_000, (count,), generator=generator)
    times = (1_000_000_000 + gaps.cumsum(0)).tolist() if timed else [None] * count
    return [
        (f"user-{user}", str(item), time)
        for user, item, time in zip(users, items, times, strict=True)
    ]


def alone(model, events):
    """A session of one user for each user."""
    sessions = {}
    for user, item, time in events:
        sessions.setdefault(user, model.session()).observe(item, time)
    return sessions


def assert_same(sessions, expected, **options):
    users = sorted(expected)
    assert set(sessions) == set(users)
    answers = sessions.recommend(users, k=40, **options)
    for user, answer in zip(users, answers, strict=True):
        assert sessions.events(user) == len(expected[user])
        wanted = {each.item: each.score for each in expected[user].recommend(k=40, **options)}
        assert {each.item: each.score for each in answer} == pytest.approx(wanted, abs=1e-5)
        scores = [each.score for each in answer]
        assert scores == sorted(scores, reverse=True)
        assert (answer.unknown, answer.cold) == ([], False)


@pytest.mark.parametrize("together", [1, 7, 200])
@pytest.mark.parametrize("timed", [True, False])
def test_each_user_gets_what_a_session_of_one_user_gives(model, together, timed):
    events = stream(120, timed=timed)
    counts = [sum(user == f"user-{number}" for user, _, _ in events) for number in range(USERS)]
    assert max(counts) > 2 * BOUND > BOUND > min(counts) > 0
    sessions = model.sessions()
    for start in range(0, len(events), together):
        sessions.observe(events[start : start + together])
        if start % (10 * together) == 0:
            assert_same(sessions, alone(model, events[: start + together]))
    assert_same(sessions, alone(model, events))
    assert_same(sessions, alone(model, events), exclude_seen=False)


def test_a_few_rows_at_a_time_give_the_same(model, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ROWS", 2)
    monkeypatch.setattr(module, "_FEWEST_ROWS", 2)
    events = stream(120, seed=1)
    sessions = model.sessions()
    for start in range(0, len(events), 30):
        sessions.observe(events[start : start + 30])
    assert_same(sessions, alone(model, events))


def test_users_with_and_without_timestamps_do_not_mix(model):
    timed = stream(40, seed=2)
    untimed = [(f"untimed-{user}", item, None) for user, item, _ in stream(40, seed=3)]
    sessions = model.sessions()
    sessions.observe([event for pair in zip(timed, untimed, strict=True) for event in pair])
    assert_same(sessions, alone(model, timed + untimed))


def test_a_forgotten_user_starts_again_and_leaves_the_others_alone(model):
    first, second = stream(80, seed=4), stream(80, seed=5)
    sessions = model.sessions()
    sessions.observe(first)
    for user in ("user-0", "user-2", "user-2", "never seen"):
        sessions.forget(user)
    assert "user-0" not in sessions
    assert sessions.events("user-2") == 0
    kept = [event for event in first if event[0] not in ("user-0", "user-2")]
    assert_same(sessions, alone(model, kept))
    later = [(user, item, time + 10**8) for user, item, time in second]
    sessions.observe(later)
    assert_same(sessions, alone(model, kept + later))


def test_memory_follows_the_users(model):
    sessions = model.sessions()
    assert (len(sessions), sessions.state_bytes) == (0, 0)
    users = [f"user-{number}" for number in range(100)]
    for time in range(6):
        sessions.observe([(user, "1", time) for user in users])
    sessions.recommend(users, k=1)
    single = model.session()
    for time in range(6):
        single.observe("1", time)
    of_events = sessions.state_bytes / len(sessions) - single.state_bytes
    assert 0 < of_events <= 4 + 6 * 12
    reserved = {pool: len(pool.tensors[0]) for pool in sessions._pools.values()}
    assert max(reserved.values()) < 256
    for user in users[3:]:
        sessions.forget(user)
    assert {len(pool.tensors[0]) for pool in sessions._pools.values()} == {8}
    assert_same(sessions, alone(model, [(u, "1", t) for u in users[:3] for t in range(6)]))
    for user in users[:3]:
        sessions.forget(user)
    assert (len(sessions), sessions.state_bytes, sessions._pools) == (0, 0, {})


@pytest.mark.parametrize(
    ("events", "error", "message"),
    [
        ([("ann", "nonsense", 7)], UnknownItemError, "'nonsense' is not among the 40 items"),
        ([("ann", 4, 7)], UsageError, "item 4 is int"),
        ([("ann", "4", 4)], UsageError, r"timestamp 4 is earlier .* of user 'ann' \(5\)"),
        ([("bob", "4", 9), ("bob", "5", 8)], UsageError, r"earlier .* of user 'bob' \(9\)"),
        ([("ann", "4")], UsageError, "every event of user 'ann' or with none; the 1 so far have"),
        ([("bob", "4"), ("bob", "5", 1)], UsageError, "the 1 so far have none"),
        ([("ann", "4", 7.5)], UsageError, r"a timestamp is 7\.5; expected"),
        ([(5, "4", 7)], UsageError, "user 5 is int; user ids are strings"),
        ([["ann"]], UsageError, r"an event is \['ann'\]; expected \(user, item\)"),
        (["ann"], UsageError, r"an event is 'ann'; expected \(user, item\)"),
        ({"ann": "4"}, UsageError, "events is a list of"),
    ],
)
def test_wrong_events_are_refused_before_any_is_applied(gru, events, error, message):
    sessions = gru.sessions()
    sessions.observe([("ann", "3", 5)])
    before = sessions.recommend(["ann"])
    with pytest.raises(error, match=message):
        sessions.observe([("cid", "1", 1), *events] if isinstance(events, list) else events)
    assert list(sessions) == ["ann"]
    assert sessions.events("ann") == 1
    assert sessions.recommend(["ann"]) == before


def test_options_of_recommend(gru):
    sessions = gru.sessions()
    sessions.observe([("ann", "3"), ("bob", "4"), ("ann", "5")])
    users = ["bob", "ann", "bob"]
    both = sessions.recommend(users, k=3, candidates=["3", "4", "5", "6", "x"], batch_size=1)
    items = [{each.item for each in answer} for answer in both]
    assert items == [{"3", "5", "6"}, {"4", "6"}, {"3", "5", "6"}]
    assert both[0] == both[2]
    by_user = sessions.recommend(users, k=40, exclude=[["1"], ["2"], []])
    assert [len(answer) for answer in by_user] == [38, 37, 39]
    assert sessions.recommend([]) == []
    for options, error, message in (
        ({"k": 0}, UsageError, "k is 0"),
        ({"candidates": ["x"]}, UnknownItemError, "candidates"),
        ({"exclude": ["x"], "on_unknown": "error"}, UnknownItemError, "exclude"),
        ({"exclude": [["1"]]}, UsageError, "exclude has 1 lists for 3 users"),
        ({"batch_size": 0}, UsageError, "batch_size is 0"),
        ({"on_cold": "warm"}, UsageError, "on_cold is 'warm'"),
    ):
        with pytest.raises(error, match=message):
            sessions.recommend(users, **options)
    with pytest.raises(UsageError, match="users is a list of user ids"):
        sessions.recommend("ann")


def test_users_without_a_session_are_cold(gru):
    gru.vocabulary = gru.vocabulary.with_counts(range(40))
    sessions = gru.sessions()
    sessions.observe([("ann", "3")])
    with pytest.raises(UsageError, match="user 'eve' has no session: observe events first"):
        sessions.recommend(["ann", "eve"])
    empty = sessions.recommend(["eve", "ann"], k=2, on_cold="empty")
    assert (empty[0], empty[0].cold, empty[1].cold, len(empty[1])) == ([], True, False, 2)
    popular = sessions.recommend(["eve"], k=2, on_cold="popular")[0]
    assert [each.item for each in popular] == ["40", "39"]
    assert list(sessions) == ["ann"]


def test_a_model_that_cannot_stream_reads_the_window_again():
    model = seqzoo.create("elastic", num_items=9, causal=False, max_length=4, hidden_size=16)
    sessions = model.sessions()
    history = ["3", "1", "4", "1", "5", "9"]
    for length, item in enumerate(history, start=1):
        sessions.observe([("ann", item)])
        (found,) = sessions.recommend(["ann"], k=9, exclude_seen=False)
        expected = model.recommend(history[:length], k=9, exclude_seen=False)
        assert [each.item for each in found] == [each.item for each in expected]
        assert found[0].score == pytest.approx(expected[0].score, abs=1e-5)


def test_the_mode_of_the_model_stays(gru):
    gru.train()
    sessions = gru.sessions()
    sessions.observe([("ann", "3")])
    sessions.recommend(["ann"])
    assert all(part.training for part in gru.modules())


def test_threads_take_turns(gru):
    events = stream(400, seed=6)
    sessions = gru.sessions()
    failures = []

    def observe(user):
        try:
            for event in events:
                if event[0] == user:
                    sessions.observe([event])
                    sessions.recommend([user], k=1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=observe, args=(f"user-{n}",)) for n in range(USERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert_same(sessions, alone(gru, events))


class Odd(Backbone):
    """The mean of all events, with every kind of state, one of which fails on request."""

    streaming = True
    fails = False

    def forward(self, hidden, batch):
        counts = torch.arange(1, hidden.shape[1] + 1)[:, None]
        return hidden.cumsum(1) / counts

    def initial_state(self, batch_size):
        return {"first": [], "rest": torch.zeros(batch_size, 8), "count": 0, "note": ("x", None)}

    def step(self, hidden, state, elapsed):
        if self.fails is not False and bool((hidden == self.fails).all(1).any()):
            raise RuntimeError("out of order")
        assert state["note"] == ("x", None)
        # The vectors of the first events are returned as they were given, without a copy.
        first, rest = ([hidden], state["rest"])
        if state["count"]:
            first, rest = state["first"], state["rest"] + hidden
        count = state["count"] + 1
        return (first[0] + rest) / count, {
            "first": first,
            "rest": rest,
            "count": count,
            "note": state["note"],
        }


@pytest.fixture
def odd(gru):
    gru.backbone = Odd()
    return gru


def test_values_beside_tensors_are_kept_for_each_user(odd):
    events = stream(60, seed=7)
    sessions = odd.sessions()
    for start in range(0, len(events), 9):
        sessions.observe(events[start : start + 9])
    assert_same(sessions, alone(odd, events))


def test_a_failing_part_leaves_users_before_or_after_an_event(odd, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ROWS", 1)
    sessions = odd.sessions()
    odd.backbone.fails = odd.embedder.eval()(
        seqzoo.interfaces.SequenceBatch.from_histories([[7]])
    ).detach()[0]
    with pytest.raises(RuntimeError, match="out of order"):
        sessions.observe([("ann", "7"), ("bob", "4"), ("cid", "5")])
    odd.backbone.fails = False
    assert set(sessions) == {"bob", "cid"}
    sessions.observe([("ann", "7"), ("bob", "5")])
    events = [("ann", "7"), ("bob", "4"), ("bob", "5"), ("cid", "5")]
    assert_same(sessions, alone(odd, [(*event, None) for event in events]))


def test_a_state_without_a_batch_is_refused(odd, monkeypatch):
    monkeypatch.setattr(Odd, "initial_state", lambda self, rows: {"sum": torch.zeros(8)})
    monkeypatch.setattr(
        Odd, "step", lambda self, hidden, state, elapsed: (functional.relu(hidden), state)
    )
    with pytest.raises(SeqzooError, match=r"shape \[8\]; its first dimension must be the batch"):
        odd.sessions().observe([("ann", "7"), ("bob", "4")])
