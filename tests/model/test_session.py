"""Sessions: one event at a time gives what the whole sequence gives."""

import copy

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.session import Session
from tests.model.streaming import BOUND, streaming_architectures
from tests.model.streaming import model as model


def events(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 41, (count,), generator=generator).tolist()
    gaps = torch.randint(0, 100_000, (count,), generator=generator)
    return [str(item) for item in items], (1_000_000_000 + gaps.cumsum(0)).tolist()


def whole(model, items, times):
    """The vectors of all positions of one uncut history [L, D].

    A model that reads the time of the request is asked with each event, as sessions are by default.
    """

    def vectors(count):
        history = [[int(item) for item in items[:count]]]
        return model(SequenceBatch.from_histories(history, [times[:count]]))[0]

    with torch.inference_mode():
        if model.reads.query_times:
            return torch.stack([vectors(count)[-1] for count in range(1, len(items) + 1)])
        return vectors(len(items))


def test_every_step_equals_the_whole_sequence(model):
    items, times = events(BOUND)
    expected = whole(model, items, times)
    session = model.session()
    for position, (item, time) in enumerate(zip(items, times, strict=True)):
        session.observe(item, time)
        torch.testing.assert_close(session.hidden, expected[position], atol=1e-5, rtol=1e-5)
        direct = model.recommend(items[: position + 1], k=5, timestamps=times[: position + 1])
        streamed = session.recommend(k=5)
        assert [entry.item for entry in streamed] == [entry.item for entry in direct]
        assert [entry.score for entry in streamed] == pytest.approx(
            [entry.score for entry in direct], abs=1e-5
        )


def test_beyond_the_window_a_session_reads_all_or_the_newest(model):
    items, times = events(3 * BOUND)
    session = model.session()
    bounded = model.embedder.max_length or model.backbone.max_length
    for position, (item, time) in enumerate(zip(items, times, strict=True)):
        session.observe(item, time)
        kept = slice(max(0, position + 1 - BOUND) if bounded else 0, position + 1)
        expected = whole(model, items[kept], times[kept])[-1]
        torch.testing.assert_close(session.hidden, expected, atol=1e-5, rtol=1e-5)


def test_beyond_the_window_only_questions_read_it(model, monkeypatch):
    if not (model.embedder.max_length or model.backbone.max_length):
        pytest.skip("this model reads histories of any length")
    items, times = events(2 * BOUND)
    session, read = model.session(), []
    last = model.last
    monkeypatch.setattr(model, "last", lambda batch: read.append(batch) or last(batch))
    for item, time in zip(items, times, strict=True):
        session.observe(item, time)
    assert not read
    assert session.state_bytes == 0
    assert session.recommend(k=3) == session.recommend(k=3)
    assert len(read) == 1
    assert read[0].items[0].tolist() == [model.vocabulary.index(item) for item in items[-BOUND:]]


def test_a_state_of_a_boundless_model_does_not_grow(model):
    if model.embedder.max_length or model.backbone.max_length:
        pytest.skip("this model keeps a window")
    session = model.session()
    sizes = []
    for item, time in zip(*events(40), strict=True):
        session.observe(item, time)
        tensors = torch.utils._pytree.tree_leaves(session._backbone_state)
        sizes.append(sum(leaf.numel() for leaf in tensors if isinstance(leaf, torch.Tensor)))
    assert set(sizes) == {sizes[0]}


@pytest.mark.parametrize("cut", [0, 5, BOUND + 3])
def test_a_restored_session_equals_an_uninterrupted_one(model, tmp_path, cut):
    items, times = events(2 * BOUND)
    session, first = model.session(), model.session()
    for position, (item, time) in enumerate(zip(items, times, strict=True)):
        session.observe(item, time)
        if position < cut:
            first.observe(item, time)
    first.save(tmp_path / "session")
    again = model.session(tmp_path / "session")
    assert len(again) == cut
    for item, time in list(zip(items, times, strict=True))[cut:]:
        again.observe(item, time)
    assert torch.equal(again.hidden, session.hidden)
    assert again.recommend(k=5) == session.recommend(k=5)


def test_two_sessions_do_not_disturb_each_other(model):
    items, times = events(8)
    others, _ = events(8, seed=1)
    one, two, alone = model.session(), model.session(), model.session()
    for item, other, time in zip(items, others, times, strict=True):
        one.observe(item, time)
        two.observe(other, time)
        alone.observe(item, time)
    assert torch.equal(one.hidden, alone.hidden)


def test_wrong_use_is_refused_and_leaves_the_session_as_it_was(model, tmp_path):
    session = model.session()
    with pytest.raises(UsageError, match="nothing has been observed"):
        session.recommend()
    session.observe("3", 100)
    before = session.hidden.clone()
    with pytest.raises(UnknownItemError):
        session.observe("nonsense", 101)
    with pytest.raises(UsageError, match="earlier than that of the previous event"):
        session.observe("4", 99)
    with pytest.raises(UsageError, match="with every event of a session or with none"):
        session.observe("4")
    with pytest.raises(UsageError, match="k is 0"):
        session.recommend(k=0)
    assert torch.equal(session.hidden, before)
    assert len(session) == 1
    with pytest.raises(UsageError, match=r"holds no session: session\.json does not exist"):
        Session.restore(model, tmp_path)


@pytest.mark.parametrize("time", [float("nan"), 1.5, "5", True, 2**63, -(2**63)])
def test_invalid_times_are_refused(model, time):
    session = model.session()
    with pytest.raises(UsageError, match=r"a timestamp is .*expected .*whole unix seconds"):
        session.observe("3", time)
    assert len(session) == 0
    session.observe("3", 5)


def test_times_of_numpy_are_saved(model, tmp_path):
    session = model.session()
    session.observe("3", np.int64(5))
    session.observe("4", np.int32(6))
    session.save(tmp_path / "session")
    assert torch.equal(model.session(tmp_path / "session").hidden, session.hidden)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("session.safetensors", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
        ("session.json", lambda content: content.replace(b'"items": ["3"', b'"items": ["4"')),
        ("session.json", lambda content: content.replace(b"[5]", b"[5, 6]")),
        ("session.json", lambda content: b"[" * 100_000),
        ("session.json", lambda content: b"5"),
        ("session.json", lambda content: b"{}"),
        ("session.safetensors", lambda content: b""),
    ],
)
def test_a_damaged_session_is_refused(model, tmp_path, file, damage):
    session = model.session()
    session.observe("3", 5)
    session.save(tmp_path / "session")
    path = tmp_path / "session" / file
    changed = damage(path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    with pytest.raises(UsageError, match="holds a session that cannot be read"):
        Session.restore(model, tmp_path / "session")


def test_a_session_of_another_model_is_refused(model, tmp_path):
    session = model.session()
    session.observe("3")
    session.save(tmp_path / "session")
    torch.manual_seed(1)
    other = seqzoo.create(model.architecture, num_items=40, hidden_size=16, max_length=BOUND)
    with pytest.raises(UsageError, match="session of another model"):
        Session.restore(other, tmp_path / "session")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", streaming_architectures())
def test_real_histories_stream_to_the_same_recommendations(architecture, real_data):
    data = prepare(DataConfig(source=str(real_data("ml-1m"))))
    name = f"{architecture}-ml1m"
    known = [model.name for model in seqzoo.list_models(pretrained=True) if model.bundled]
    torch.manual_seed(0)
    model = (
        seqzoo.load(name)
        if name in known
        else seqzoo.create(architecture, num_items=len(data.vocabulary)).eval()
    )
    sequences = data.sequences
    checked = 0
    for user in range(0, len(sequences), len(sequences) // 220):
        part = slice(sequences.offsets[user], sequences.offsets[user + 1])
        items = sequences.items[part].tolist()[: model.max_length]
        times = sequences.timestamps[part].tolist()[: model.max_length]
        batch = SequenceBatch.from_histories([items], [times])
        with torch.inference_mode():
            expected = model(batch)[0]
        session = model.session()
        ids = [data.vocabulary.item(item) for item in items]
        session.model.vocabulary = data.vocabulary
        for position, (item, time) in enumerate(zip(ids, times, strict=True)):
            session.observe(item, time)
            torch.testing.assert_close(session.hidden, expected[position], atol=1e-5, rtol=1e-5)
        direct = model.recommend_from(expected[-1:], 10, seen=[items])[0]
        assert [entry.item for entry in session.recommend(10)] == [e.item for e in direct]
        checked += 1
    assert checked >= 200


def test_a_session_of_a_model_with_two_rows_exchanged_is_refused(model, tmp_path):
    session = model.session()
    session.observe("1")
    session.save(tmp_path / "saved")
    other = copy.deepcopy(model)
    with torch.no_grad():
        rows = other.embedder.item_table[[4, 3]].clone()
        other.embedder.item_table[3:5] = rows
    with pytest.raises(UsageError, match="another model"):
        other.session(tmp_path / "saved")
