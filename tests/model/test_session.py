"""Sessions: one event at a time gives what the whole sequence gives."""

import copy
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import seqzoo
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.errors import CheckpointError, SeqzooError, UnknownItemError, UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.session import Session
from seqzoo.model.session_file import LARGEST
from seqzoo.plugins import catalogue
from seqzoo.storage.integrity import sha256_of_bytes, sha256_of_document

BOUND = 12


def streaming_architectures():
    everything = catalogue()
    return [
        spec.name
        for spec in everything.architectures
        # Baselines know nothing before they are fitted; the tests of their plugin do that.
        if everything.backbones.get(spec.backbone).streaming and not spec.baseline
    ]


@pytest.fixture(scope="module", params=streaming_architectures())
def model(request):
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": BOUND, "num_layers": 2}
    if request.param == "narm":
        del settings["num_layers"]
    return seqzoo.create(request.param, num_items=40, **settings).eval()


def events(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, 41, (count,), generator=generator).tolist()
    gaps = torch.randint(0, 100_000, (count,), generator=generator)
    return [str(item) for item in items], (1_000_000_000 + gaps.cumsum(0)).tolist()


def whole(model, items, times):
    """The vectors of all positions of one uncut history [L, D]."""
    batch = SequenceBatch.from_histories([[int(item) for item in items]], [times])
    with torch.inference_mode():
        return model(batch)[0]


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
def test_a_saved_session_goes_on_as_if_nothing_had_happened(model, tmp_path, cut):
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
def test_what_is_no_time_is_refused(model, time):
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


@pytest.fixture
def gru():
    """A model whose state is one tensor [1, 1, 8], and whose item vectors have 8 numbers."""
    torch.manual_seed(0)
    return seqzoo.create("gru4rec", num_items=40, hidden_size=8, gru_size=8).eval()


def reseal(folder, edit, tensors=None):
    """Change a saved session as an author with the checksums could."""
    path = folder / "session.json"
    document = json.loads(path.read_bytes())
    if tensors is not None:
        content = load((folder / "session.safetensors").read_bytes())
        tensors(content)
        (folder / "session.safetensors").write_bytes(save(content))
        document["tensors"] = sha256_of_bytes((folder / "session.safetensors").read_bytes())
    edit(document)
    del document["sha256"]
    path.write_text(json.dumps(document | {"sha256": sha256_of_document(document)}))


def states(document):
    return document["state"]["dict"]


def test_the_form_of_a_saved_session(gru, tmp_path):
    session = gru.session()
    session.observe("3", 5)
    session.save(tmp_path)
    document = json.loads((tmp_path / "session.json").read_bytes())
    assert (document["items"], document["timestamps"]) == (["3"], [5])
    assert document["model"].keys() == {"name", "config", "vocabulary", "weights"}
    assert document["state"] == {
        "dict": {
            "embedder": {"value": None},
            "backbone": {"tensor": "state.0"},
            "hidden": {"tensor": "state.1"},
        }
    }
    assert document.keys() == {"model", "items", "timestamps", "state", "tensors", "sha256"}
    tensors = load((tmp_path / "session.safetensors").read_bytes())
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == {
        "state.0": [1, 1, 8],
        "state.1": [1, 8],
    }


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda document: document.pop("items"), r"session\.json: the document lacks 'items'"),
        (lambda document: document.update(note=1), "has the unknown key 'note'"),
        (lambda document: document["model"].pop("weights"), "'model' lacks 'weights'"),
        (lambda document: document.update(state={}), "'state' lacks 'dict'"),
        (lambda document: states(document).pop("hidden"), "'state.dict' lacks 'hidden'"),
        (
            lambda document: states(document).update(backbone={}),
            r"'state\.dict\.backbone' is \{\}, expected an object with one key: 'tensor', 'dict'",
        ),
        (
            lambda document: states(document).update(backbone={"tensor": "state.0", "value": 1}),
            "expected an object with one key",
        ),
        (
            lambda document: states(document).update(backbone={"list": [{"set": []}]}),
            r"'state\.dict\.backbone\.list\[0\]' has the unknown key 'set'",
        ),
        (
            lambda document: states(document).update(
                backbone={"dict": {"a": {"tuple": [{"value": 1}, {"value": []}]}}}
            ),
            r"'state\.dict\.backbone\.dict\.a\.tuple\[1\]\.value' is \[\], expected a number",
        ),
        (
            lambda document: states(document).update(backbone={"tensor": "state.7"}),
            r"session\.safetensors lacks the tensor 'state\.7', which session\.json names",
        ),
        (
            lambda document: states(document).update(backbone={"tensor": "state.1"}),
            r"'state\.1' more than once",
        ),
        (
            lambda document: states(document).update(hidden={"value": None}),
            r"has the tensor 'state\.1', which session\.json does not name",
        ),
        (
            lambda document: states(document).update(
                hidden={"value": 3}, embedder={"tensor": "state.1"}
            ),
            r"'hidden' is 3, expected floats of shape \[1, 8\]",
        ),
        (
            lambda document: states(document).update(backbone={"list": [{"tensor": "state.0"}]}),
            "a state that the model does not accept",
        ),
        (
            lambda document: document.update(items=["nonsense"]),
            "item 'nonsense' is not among the 40 items",
        ),
        (lambda document: document.update(items=["3", 4]), r"'items\[1\]' is 4, expected a string"),
        (lambda document: document.update(timestamps=[5, 6]), "2 timestamps for 1 items"),
        (lambda document: document.update(timestamps=[2**62 + 1]), "a timestamp is"),
        (
            lambda document: document.update(timestamps=[0.5]),
            r"'timestamps\[0\]' is 0\.5, expected",
        ),
    ],
)
def test_a_session_that_does_not_match_its_schema_is_refused(gru, tmp_path, edit, message):
    session = gru.session()
    session.observe("3", 5)
    session.save(tmp_path)
    reseal(tmp_path, edit)
    with pytest.raises(UsageError, match=message) as caught:
        gru.session(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path} holds a session that cannot be read: ")
    assert str(caught.value).endswith("restore the file, or start a new session")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("state.1", torch.zeros(1, 9), r"'hidden' is \[1, 9\], expected floats of shape \[1, 8\]"),
        ("state.1", torch.zeros(1, 8, dtype=torch.int64), "expected floats"),
        ("state.0", torch.zeros(2, 1, 8), r"'state\.0' is \[2, 1, 8\], expected 1 as its first"),
        ("state.0", torch.zeros(()), r"the shape of tensor 'state\.0' is \[\], expected 1"),
        ("state.0", torch.zeros(1, 1, 9), "a state that the model does not accept"),
        ("state.0", torch.zeros(1, 1, 8).double(), "a state that the model does not accept"),
        ("state.0", torch.full((1, 1, 8), torch.nan), "holds NaN or infinities in state.0"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_refused(gru, tmp_path, name, tensor, message):
    session = gru.session()
    session.observe("3", 5)
    session.save(tmp_path)
    reseal(tmp_path, lambda document: None, lambda tensors: tensors.update({name: tensor}))
    with pytest.raises(UsageError, match=message):
        gru.session(tmp_path)


@pytest.mark.parametrize("name", LARGEST)
def test_no_file_of_a_session_fills_the_memory(gru, tmp_path, name):
    gru.session().save(tmp_path)
    os.truncate(tmp_path / name, 1 << 40)
    with pytest.raises(UsageError, match=rf"{name} has {1 << 40} bytes, expected at most"):
        gru.session(tmp_path)


def test_a_session_that_could_not_be_restored_is_not_saved(gru, tmp_path, monkeypatch):
    session = gru.session()
    for state, message in (
        ({0: None}, "a dict with the key 0, which cannot be saved; use strings as keys"),
        (torch.nn.ReLU, "holds type, which cannot be saved"),
        (float("nan"), "the session cannot be saved"),
        (2**70, "expected a whole number of at most 63 bits"),
    ):
        session._backbone_state = state
        with pytest.raises(SeqzooError, match=message):
            session.save(tmp_path / "session")
    monkeypatch.setitem(LARGEST, "session.json", 10)
    with pytest.raises(
        CheckpointError, match=r"session\.json would have \d+ bytes, expected at most"
    ):
        gru.session().save(tmp_path / "session")
    assert not (tmp_path / "session").exists()


def test_a_session_is_read_after_an_interrupted_write(gru, tmp_path):
    session = gru.session()
    session.observe("3", 5)
    session.save(tmp_path)
    commit = tmp_path / ".commit"
    commit.mkdir()
    for name in LARGEST:
        (tmp_path / name).rename(commit / name)
    (commit / ".files").write_text(json.dumps(list(LARGEST)))
    assert torch.equal(gru.session(tmp_path).hidden, session.hidden)


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
