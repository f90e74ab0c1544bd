"""Names to models."""

import subprocess
import sys
from pathlib import Path

import pytest

import seqzoo
from seqzoo.checkpoint.find import bundled_folder
from seqzoo.errors import CheckpointError, ConfigError, UnknownNameError, UsageError


def test_listing_shows_architectures_and_checkpoints():
    names = {(model.name, model.kind) for model in seqzoo.list_models()}
    assert {("mamba4rec", "architecture"), ("sasrec", "architecture")} <= names
    assert {("mamba4rec-ml1m", "checkpoint"), ("sasrec-ml1m", "checkpoint")} <= names


def test_patterns_and_kinds_filter_the_listing():
    found = seqzoo.list_models("mamba4*c-ml1?", pretrained=True)
    assert [model.name for model in found] == ["mamba4rec-ml1m"]
    assert all(m.kind == "architecture" for m in seqzoo.list_models(pretrained=False))
    assert seqzoo.list_models("nothing*") == []


def test_importing_and_listing_bring_in_no_heavy_library():
    code = (
        "import seqzoo, sys; seqzoo.list_models(); "
        "print([m for m in ('torch', 'numpy', 'polars', 'accelerate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["mamba4rec-ml1m", "sasrec-ml1m"])
def test_bundled_checkpoints_load_and_recommend_titles(name):
    model = seqzoo.load(name)
    best = model.recommend(["1", "260", "1196"], k=5)
    assert len(best) == 5
    assert all(entry.label for entry in best)
    # Star Wars V follows Star Wars IV for these users: VI is near the top for any sound model.
    assert "1210" in {entry.item for entry in best}


def test_info_has_what_the_card_needs():
    info = seqzoo.info("mamba4rec-ml1m")
    assert info["items"] == 3416
    assert set(info["metrics"]) == {"loo-full", "loo-full-unseen"}
    assert info["config"]["hidden_size"] == 64
    assert info["recipe"]["data"]["source"] == "ml-1m"
    assert "seqzoo.load" in info["card"]
    assert seqzoo.info("sasrec")["config"]["num_heads"] == 2


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mamba4rec-ml1n", UnknownNameError, "did you mean 'mamba4rec-ml1m'"),
        ("sasrec", UnknownNameError, "is an architecture, which has no weights"),
        ("./nowhere", CheckpointError, "nowhere"),
        ("hf://name", UsageError, "expected hf://org/name"),
        ("hf://org/name@", UsageError, "is not a revision"),
        ("hf://org/../name", UsageError, "expected hf://org/name"),
        (None, UsageError, "name or folder is a string; got the NoneType None"),
        (b"sasrec-ml1m", UsageError, "is a string; got the bytes"),
    ],
)
def test_names_that_cannot_be_loaded_say_why(name, error, message):
    with pytest.raises(error, match=message):
        seqzoo.load(name)


def test_a_folder_never_shadows_a_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=r"write '\./mine'"):
        seqzoo.load("mine")
    with pytest.raises(CheckpointError, match="mine"):
        seqzoo.load(Path("mine"))


def test_a_path_is_a_folder_whatever_it_is_called(tmp_path, monkeypatch):
    seqzoo.load("sasrec-ml100k").save_pretrained(tmp_path / "gru4rec-ml100k")
    monkeypatch.chdir(tmp_path)
    assert seqzoo.load(Path("gru4rec-ml100k")).architecture == "sasrec"
    assert seqzoo.info(Path("gru4rec-ml100k"))["architecture"] == "sasrec"
    assert seqzoo.info("gru4rec-ml100k")["architecture"] == "gru4rec"


def test_a_pattern_that_is_not_text_is_refused():
    with pytest.raises(UsageError, match="a pattern of names is a string; got the int 5"):
        seqzoo.list_models(5)


def test_a_damaged_folder_is_not_listed_and_hides_no_other(tmp_path, monkeypatch, caplog):
    damaged = tmp_path / "model_cards" / "sasrec-ml100k"
    seqzoo.load("sasrec-ml100k").save_pretrained(damaged)
    (damaged / "config.json").write_text("{")
    folders = {"sasrec-ml100k": damaged}
    monkeypatch.setattr(
        "seqzoo.zoo.bundled_folder", lambda spec: folders.get(spec.name) or bundled_folder(spec)
    )
    names = [model.name for model in seqzoo.list_models("*-ml100k", pretrained=True)]
    assert "sasrec-ml100k" not in names
    assert "gru4rec-ml100k" in names
    assert "'sasrec-ml100k' is not listed" in caplog.text
    assert all(model.architecture for model in seqzoo.list_models(pretrained=True))


def test_create_checks_its_settings():
    model = seqzoo.create("sasrec", num_items=7, hidden_size=8, num_heads=1)
    assert model.vocabulary.items == ("1", "2", "3", "4", "5", "6", "7")
    with pytest.raises(ConfigError, match=r"did you mean 'model\.hidden_size'"):
        seqzoo.create("sasrec", num_items=7, hiden_size=8)
    with pytest.raises(ConfigError, match=r"model\.num_layers.*'two'"):
        seqzoo.create("sasrec", num_items=7, num_layers="two")
    with pytest.raises(ConfigError, match="not a multiple"):
        seqzoo.create("sasrec", num_items=7, hidden_size=9)
    with pytest.raises(UnknownNameError, match="did you mean 'sasrec'"):
        seqzoo.create("sasrek", num_items=7)
    with pytest.raises(UsageError, match="num_items is 0"):
        seqzoo.create("sasrec", num_items=0)


def test_all_public_names_can_be_imported():
    for name in seqzoo.__all__:
        assert getattr(seqzoo, name) is not None
    with pytest.raises(AttributeError):
        _ = seqzoo.nothing
