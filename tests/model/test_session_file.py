"""Files of saved sessions: their form, and what is refused."""

import json
import os

import pytest
import torch
from safetensors.torch import load, save

import seqzoo
from seqzoo.errors import CheckpointError, SeqzooError, UsageError
from seqzoo.model.session_file import LARGEST
from seqzoo.storage.integrity import sha256_of_bytes, sha256_of_document


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
