"""Exported folders: the same answers as the model, without torch and seqzoo."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.cli.export import export
from seqzoo.errors import UsageError
from seqzoo.serving.export.runner import Recommender, RunnerError

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

ISOLATED = """
import json, sys
sys.modules["torch"] = sys.modules["seqzoo"] = None
sys.path.insert(0, sys.argv[1])
from runner import Recommender
histories = json.loads(sys.stdin.read())
print(json.dumps(Recommender(sys.argv[1]).recommend_many(histories, 10)))
"""


@pytest.fixture(scope="module")
def model():
    return seqzoo.load("gru4rec-ml100k")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return seqzoo.export(model, tmp_path_factory.mktemp("export") / "deployed")


def histories_of(model, lengths):
    generator = np.random.default_rng(3)
    items = model.vocabulary.items
    return [[items[i] for i in generator.integers(0, len(items), size=n)] for n in lengths]


def stamps_of(histories):
    generator = np.random.default_rng(4)
    return [(10**9 + generator.integers(0, 10**6, len(h)).cumsum()).tolist() for h in histories]


def check(model, folder):
    """The user vectors of many lengths and batches are the model's."""
    runner = Recommender(folder)
    for batch, longest in ((1, 1), (1, 2), (2, 1), (7, 30), (64, 250), (2, 2000)):
        histories = histories_of(model, np.linspace(1, longest, batch).astype(int))
        histories[-1] = histories_of(model, [longest])[0]
        stamps = stamps_of(histories) if runner.uses_time else None
        expected = model.encode(histories, timestamps=stamps).numpy()
        found = runner.encode(histories, stamps)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_user_vectors_are_those_of_the_model(model, exported):
    assert exported.max_difference <= 1e-5
    assert exported.streaming
    check(model, exported.out)


def test_the_runner_works_where_torch_and_seqzoo_cannot_be_imported(model, exported):
    histories = histories_of(model, [1, 5, 40, 300])
    done = subprocess.run(
        [sys.executable, "-c", ISOLATED, exported.out],
        input=json.dumps(histories),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = model.recommend_many(histories, 10)
    for own, best in zip(json.loads(done.stdout), expected, strict=True):
        assert [item for item, _ in own] == [one.item for one in best]
        np.testing.assert_allclose([s for _, s in own], [one.score for one in best], rtol=1e-4)


def test_a_session_gives_what_the_whole_history_gives(model, exported):
    session = Recommender(exported.out).session()
    (history,) = histories_of(model, [20])
    for item in history:
        session.observe(item)
    expected = model.encode([history])[0].numpy()
    assert np.abs(session.vector - expected).max() <= 1e-5 * np.abs(expected).max()


def test_excluded_items_are_left_out(model, exported):
    runner = Recommender(exported.out)
    (history,) = histories_of(model, [5])
    first = [item for item, _ in runner.recommend(history, 3)]
    assert first[0] not in [item for item, _ in runner.recommend(history, 3, exclude=first[:1])]
    everything = runner.recommend(history, len(model.vocabulary))
    assert {item for item, _ in everything} == {*model.vocabulary.items} - {*history}


def test_the_manifest_describes_every_file(exported):
    manifest = json.loads((exported_path(exported) / "manifest.json").read_text())
    assert {*manifest["files"], "manifest.json"} == {*exported.files}
    assert manifest["opset"] == 20
    assert exported.bytes == sum(p.stat().st_size for p in exported_path(exported).iterdir())


def exported_path(exported):
    return Path(exported.out)


def test_what_users_do_wrong_is_named(model, exported, tmp_path):
    runner = Recommender(exported.out)
    with pytest.raises(RunnerError, match="no item that the model knows"):
        runner.recommend(["no such item"])
    with pytest.raises(RunnerError, match="k is 0"):
        runner.recommend([model.vocabulary.items[0]], 0)
    for name in exported.files:
        (tmp_path / name).write_bytes((exported_path(exported) / name).read_bytes())
    (tmp_path / "history.onnx").write_bytes(b"other")
    with pytest.raises(RunnerError, match=r"history\.onnx differs from what was exported"):
        Recommender(tmp_path)


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"needs onnx.*pip install 'seqzoo\[export\]'"):
        seqzoo.export(model, tmp_path / "out")


def test_the_verb_prints_its_document(exported, monkeypatch, capsys):
    # The export itself is the fixture's: it takes many seconds.
    monkeypatch.setattr("seqzoo.serving.export.write.export", lambda *_: exported)
    export("gru4rec-ml100k", exported.out, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == "gru4rec-ml100k"
    assert {*document} == {"model", "out", "files", "streaming", "max_difference", "bytes"}


def test_a_folder_with_other_files_is_refused(model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        seqzoo.export(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_model_that_differs_is_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr("seqzoo.serving.export.write._graphs", lambda _: ({}, []))
    monkeypatch.setattr("seqzoo.serving.export.write._measured", lambda *_: 1e-3)
    with pytest.raises(UsageError, match="differ from the model"):
        seqzoo.export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sasrec-ml100k", "mamba4rec-ml100k", "narm-ml100k", "tim4rec-ml100k"]
)
def test_architectures_give_the_user_vectors_of_the_model(name, tmp_path):
    model = seqzoo.load(name)
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.max_difference <= 1e-5
    check(model, exported.out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [("caser", {}), ("caser", {"window_padding": "right"}), ("duorec", {})],
)
def test_architectures_without_a_checkpoint_do_so_too(architecture, settings, tmp_path):
    torch.manual_seed(0)
    model = seqzoo.create(architecture, num_items=50, max_length=20, **settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming
    assert exported.max_difference <= 1e-5
    check(model, exported.out)


@pytest.mark.slow
def test_an_architecture_that_cannot_be_exported_is_named(tmp_path):
    model = seqzoo.load("elastic-ml100k")
    with pytest.raises(UsageError, match="'elastic' cannot be exported"):
        seqzoo.export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
