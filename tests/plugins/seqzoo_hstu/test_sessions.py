"""Sessions of HSTU, whose newest event waits for the time of the next one or of a request."""

import pytest
import torch

import seqzoo
from seqzoo.errors import UsageError

BOUND = 8
SETTINGS = {"hidden_size": 16, "max_length": BOUND, "query_size": 8, "value_size": 8}
HISTORY = [str(item) for item in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)]
TIMES = [1_000_000_000 + 3_600 * n**3 for n in range(len(HISTORY))]
LATER = (0, 30, 86_400, 40_000_000)


@pytest.fixture(scope="module", params=["next", "previous", "none"])
def model(request):
    torch.manual_seed(0)
    made = seqzoo.create("hstu", num_items=20, time_mode=request.param, **SETTINGS)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made.eval()


def scores(best):
    return pytest.approx([each.score for each in best], abs=1e-4)


def whole(model, count, at):
    given = {} if at is None else {"at": [at]}
    history, times = HISTORY[:count], TIMES[:count]
    return model.recommend_many([history], 20, timestamps=[times], exclude_seen=False, **given)[0]


def test_every_event_and_every_request(model):
    """Up to the bound from the state, then from the window; a request leaves nothing behind."""
    session, sessions = model.session(), model.sessions()
    for count, (item, time) in enumerate(zip(HISTORY, TIMES, strict=True), start=1):
        session.observe(item, time)
        sessions.observe([("ann", item, time)])
        for waited in (*reversed(LATER), None):
            at = None if waited is None else time + waited
            expected = whole(model, count, at)
            given = {"exclude_seen": False}
            found = session.recommend(20, at=at, **given)
            assert [each.score for each in found] == scores(expected), (count, waited)
            asked = None if at is None else [at, at]
            for best in sessions.recommend(["ann", "ann"], 20, at=asked, **given):
                assert [each.score for each in best] == scores(expected), (count, waited)


def test_the_request_is_read_only_in_the_mode_next(model):
    session = model.session()
    for item, time in zip(HISTORY[:5], TIMES, strict=False):
        session.observe(item, time)
    now, later = (session.recommend(3, at=TIMES[4] + waited) for waited in (0, 40_000_000))
    same = [each.score for each in now] == [each.score for each in later]
    assert same == (model.config["time_mode"] != "next")


def test_a_state_is_streamed_not_read_again(model, monkeypatch):
    session = model.session()
    monkeypatch.setattr(type(model.backbone), "last", None)
    monkeypatch.setattr(type(model.backbone), "forward", None)
    for item, time in zip(HISTORY[:BOUND], TIMES, strict=False):
        session.observe(item, time)
        session.recommend(3, at=time + 60)
    assert session.state_bytes > 0


def test_many_users_at_once(model):
    """Of several lengths, before and after the bound, with and without times."""
    sessions, alone = model.sessions(), {}
    for user, count in (("a", 1), ("b", 3), ("c", 3), ("d", BOUND), ("e", BOUND + 3)):
        times = [time + 7 * count for time in TIMES[:count]]
        sessions.observe([(user, i, t) for i, t in zip(HISTORY, times, strict=False)])
        alone[user] = model.session()
        for item, time in zip(HISTORY, times, strict=False):
            alone[user].observe(item, time)
    sessions.observe([("f", item) for item in HISTORY[:3]])
    alone["f"] = model.session()
    for item in HISTORY[:3]:
        alone["f"].observe(item)
    users = ["e", "a", "f", "c", "d", "b", "a"]
    at = [TIMES[-1] + 1000 * n for n in range(len(users))]
    for _ in range(2):
        for user, time, best in zip(users, at, sessions.recommend(users, 5, at=at), strict=True):
            expected = alone[user].recommend(5, at=time)
            assert [each.item for each in best] == [each.item for each in expected]
            assert [each.score for each in best] == scores(expected)
    with pytest.raises(UsageError, match="at has 1 entries for 2 users"):
        sessions.recommend(["a", "b"], 3, at=[5])
    with pytest.raises(UsageError, match="unix seconds"):
        sessions.recommend(["a"], 3, at=[5.5])


def test_saved_and_stored_sessions_continue(model, tmp_path):
    session = model.session()
    path = tmp_path / "sessions.db"
    with model.sessions(store=path) as stored:
        for item, time in zip(HISTORY[:4], TIMES, strict=False):
            session.observe(item, time)
            stored.observe([("ann", item, time)])
    session.save(tmp_path / "ann")
    again = model.session(tmp_path / "ann")
    at = TIMES[4] + 500
    with model.sessions(store=path) as stored:
        for one in (session, again):
            one.observe(HISTORY[4], TIMES[4])
        stored.observe([("ann", HISTORY[4], TIMES[4])])
        expected = scores(whole(model, 5, at))
        given = {"exclude_seen": False}
        for one in (session, again):
            assert [each.score for each in one.recommend(20, at=at, **given)] == expected
        (best,) = stored.recommend(["ann"], 20, at=[at], **given)
        assert [each.score for each in best] == expected


def test_positions_from_the_newest_event_keep_no_state():
    torch.manual_seed(0)
    model = seqzoo.create("hstu", num_items=20, position_order="newest", **SETTINGS).eval()
    session = model.session()
    for count, (item, time) in enumerate(zip(HISTORY, TIMES, strict=True), start=1):
        session.observe(item, time)
        expected = whole(model, count, time + 9)
        found = session.recommend(20, at=time + 9, exclude_seen=False)
        assert [each.score for each in found] == scores(expected)


def test_a_model_without_times_given_says_what_it_assumes(caplog):
    model = seqzoo.create("hstu", num_items=20, **SETTINGS)
    model.recommend(HISTORY, 3)
    assert "none were given: all events are treated as simultaneous" in caplog.text
    with pytest.raises(UsageError, match="give timestamps= of the history as well"):
        model.recommend(HISTORY, 3, at=5)
