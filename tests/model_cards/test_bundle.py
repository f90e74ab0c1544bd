"""``tools/bundle.py``: a finished run becomes a checkpoint of ``model_cards/``."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

import seqzoo
from tests.training.conftest import small_recipe

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bundle.py"


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "run"
    return seqzoo.train(small_recipe("sasrec", epochs=1), out).out


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """``bundle(run)`` puts a run into a folder of cards; returns the checkpoint's folder."""
    spec = importlib.util.spec_from_file_location("bundle", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(tool, "TRAINED", tmp_path / "training.json")

    def bundle(run):
        monkeypatch.setattr("sys.argv", ["bundle.py", str(run), "sasrec-mine"])
        tool.main()
        return tmp_path / "cards" / "sasrec-mine"

    return bundle


def test_a_run_is_bundled_without_its_training_state(finished_run, bundle, tmp_path):
    folder = bundle(finished_run)
    assert seqzoo.load(folder).architecture == "sasrec"
    assert (folder / "curve.png").is_file()
    assert not (folder / "training").exists()
    assert json.loads((tmp_path / "training.json").read_text("utf-8"))["sasrec-mine"]["epochs"] == 1


def test_a_checkpoint_that_is_not_a_run_is_refused(finished_run, bundle, tmp_path, capsys):
    shutil.copytree(finished_run, tmp_path / "copy", ignore=shutil.ignore_patterns("training"))
    with pytest.raises(SystemExit):
        bundle(tmp_path / "copy")
    assert "copy holds no training state; give the folder of a run" in capsys.readouterr().err
    assert not (tmp_path / "cards").exists()


def test_damaged_progress_is_refused(finished_run, bundle, tmp_path):
    shutil.copytree(finished_run, tmp_path / "copy")
    (tmp_path / "copy" / "training" / "progress.json").write_text('{"recipe": {}, "epochs": 3}')
    with pytest.raises(seqzoo.errors.TrainingError, match="'epochs' is 3, expected a list"):
        bundle(tmp_path / "copy")
    assert not (tmp_path / "cards").exists()
