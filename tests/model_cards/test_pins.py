"""``pins.json``: its schema, and what a pin changes for names and listings."""

import json
import subprocess
import sys

import pytest

import seqzoo
from seqzoo.checkpoint.pins import known_checkpoints, pin_of
from seqzoo.checkpoint.pins_file import PINS, Pin, read_pins, render_pins
from seqzoo.errors import CheckpointError, UnknownNameError
from seqzoo.plugins import load_plugins
from seqzoo.specs import PretrainedSpec

from .conftest import NAMES

PIN = Pin("org/repo", "0" * 40, "f" * 64)
GOOD = {"repo": "org/repo", "revision": "0" * 40, "sha256": "f" * 64}


@pytest.fixture
def pinned(monkeypatch):
    """``pinned(name, …)``: a seqzoo with these pins; returns its checkpoints."""

    def pinned(*names):
        monkeypatch.setattr("seqzoo.checkpoint.pins_file.pins", lambda: dict.fromkeys(names, PIN))
        loaded = load_plugins()
        monkeypatch.setattr("seqzoo.plugins._kept_plugins", lambda: loaded)
        return known_checkpoints()

    return pinned


def listed():
    return [model.name for model in seqzoo.list_models(pretrained=True)]


def test_the_pins_of_this_repository():
    assert set(read_pins(PINS)) <= set(NAMES)
    assert PINS.read_text("utf-8") == render_pins(read_pins(PINS))


def test_pins_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "pins.json"
    pins = {"b-1@x": PIN, "a-1": Pin("Org/A.1", "1" * 40, "2" * 64)}
    path.write_text(render_pins(pins))
    assert read_pins(path) == pins
    assert list(json.loads(path.read_text())) == ["a-1", "b-1@x"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not the JSON that seqzoo writes"),
        ("\xff", "is not the JSON that seqzoo writes"),
        ('{"m": 1, "m": 2}', "the key 'm' occurs more than once"),
        ([], r"the document is \[\], expected a mapping of names to pins"),
        ({"m": None}, "'m' is None, expected an object with repo, revision and sha256"),
        ({"m": {**GOOD, "branch": "main"}}, "'m' has the unknown key 'branch'"),
        ({"m": {"repo": "org/repo"}}, "'m' lacks 'revision'"),
        ({"m": {**GOOD, "repo": "repo"}}, r"'m\.repo' is 'repo', expected org/name"),
        ({"m": {**GOOD, "repo": "org/\u0660"}}, "expected org/name"),
        ({"m": {**GOOD, "repo": "../../x"}}, r"'m\.repo' is '\.\./\.\./x', expected org/name"),
        ({"m": {**GOOD, "repo": ["org/repo"]}}, "expected org/name"),
        ({"m": {**GOOD, "revision": "main"}}, r"'m\.revision' is 'main', expected a commit"),
        ({"m": {**GOOD, "revision": "0" * 41}}, "expected a commit of 40 hex digits"),
        ({"m": {**GOOD, "sha256": None}}, r"'m\.sha256' is None, expected 64 hex digits"),
    ],
)
def test_anything_else_is_refused(tmp_path, document, message):
    path = tmp_path / "pins.json"
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_pins(path)
    assert str(path) in str(caught.value)
    assert "reinstall seqzoo" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pins(tmp_path / "pins.json")


def test_a_pin_without_a_plugin_is_registered_by_the_core(pinned):
    known = pinned("sasrec-elsewhere", "sasrec-ml1m")
    spec = known.get("sasrec-elsewhere")
    assert spec == PretrainedSpec("sasrec-elsewhere", "seqzoo", PIN.repo, PIN.revision, PIN.sha256)
    assert known.get("sasrec-ml1m").plugin == "sasrec"
    assert {"sasrec-elsewhere", "sasrec-ml1m"} <= set(listed())
    (model,) = seqzoo.list_models("sasrec-elsewhere")
    assert (model.kind, model.bundled, model.plugin) == ("checkpoint", False, "seqzoo")


def test_a_pin_of_an_unknown_architecture_is_not_listed(pinned, monkeypatch):
    assert "other-elsewhere" not in pinned("other-elsewhere")
    monkeypatch.setenv("SEQZOO_DISABLE_PLUGINS", "sasrec")
    pinned("sasrec-elsewhere", "sasrec-ml1m", "gru4rec-elsewhere")
    assert not [name for name in listed() if name.startswith("sasrec")]
    assert "gru4rec-elsewhere" in listed()
    with pytest.raises(UnknownNameError, match="plugins are switched off: sasrec"):
        seqzoo.load("sasrec-elsewhere")


def test_a_pin_never_overrides_an_installed_folder(pinned):
    """Not even one of other weights: a checkout may be newer than what is published."""
    pinned("sasrec-ml100k")
    assert seqzoo.load("sasrec-ml100k").architecture == "sasrec"
    known = seqzoo.info("sasrec-ml100k")
    assert known["bundled"]
    assert known["sha256"] != PIN.sha256


def test_the_pin_of_a_plugin_comes_before_that_of_seqzoo(pinned):
    pinned("sasrec-mine")
    own = PretrainedSpec("sasrec-mine", "mine", "them/mine", "1" * 40, None)
    assert pin_of(own) == Pin("them/mine", "1" * 40, None)
    assert pin_of(PretrainedSpec("sasrec-mine", "mine", package="mine")) == PIN
    assert pin_of(PretrainedSpec("sasrec-yours", "mine", package="mine")) is None


def test_a_name_without_folder_and_pin_is_not_listed(pinned, monkeypatch):
    monkeypatch.setattr("seqzoo.zoo.bundled_folder", lambda spec: None)
    pinned("sasrec-ml1m")
    assert listed() == ["sasrec-ml1m"]


def test_listing_pinned_names_imports_nothing_heavy():
    code = (
        "import sys, seqzoo.checkpoint.pins_file\n"
        "pin = seqzoo.checkpoint.pins_file.Pin('org/repo', '0' * 40, 'f' * 64)\n"
        "seqzoo.checkpoint.pins_file.pins = lambda: {'sasrec-elsewhere': pin}\n"
        "import seqzoo\n"
        "assert 'sasrec-elsewhere' in [model.name for model in seqzoo.list_models()]\n"
        "heavy = ('torch', 'numpy', 'polars', 'accelerate', 'omegaconf', 'huggingface_hub')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_an_unknown_name_says_which_distribution_may_have_it():
    records = load_plugins().records
    if any(record.distribution == "seqzoo-model-cards" for record in records):
        pytest.skip("seqzoo-model-cards is installed here")
    for larger in ("sasrec-beauty", "gru4rec-games", "sasrec-games@other"):
        with pytest.raises(UnknownNameError, match=r"`pip install \./model_cards`") as caught:
            seqzoo.load(larger)
        assert "did you mean" not in str(caught.value)
    # A slip of the pen, data that seqzoo does not know, and another architecture.
    for other in ("sasrec-ml1n", "sasrec-steam", "tisasrec-ml1m", "nobody-beauty"):
        with pytest.raises(UnknownNameError) as caught:
            seqzoo.load(other)
        assert "model_cards" not in str(caught.value)
    with pytest.raises(UnknownNameError, match="did you mean 'sasrec-ml1m'"):
        seqzoo.load("sasrec-ml1n")
