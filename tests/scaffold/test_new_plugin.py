"""What ``seqzoo new-plugin`` writes installs with the real pip and passes its own tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqzoo.cli.app import run
from seqzoo.errors import UsageError
from seqzoo.scaffold.write import KINDS, new_plugin


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    """A plugin of every kind, unchanged."""
    folder = tmp_path_factory.mktemp("written")
    return {kind: new_plugin(f"my-{kind}", kind, folder) for kind in KINDS}


@pytest.fixture(scope="module")
def home(environment, written):
    """A fresh environment with all of them."""
    made = environment()
    made.install(*written.values())
    return made


def test_every_kind_installs_and_is_listed(home):
    found = {p["name"]: p for p in json.loads(home.seqzoo("plugins", "--json").stdout)}
    for kind in KINDS:
        plugin = found[f"my-{kind}"]
        assert (plugin["status"], plugin["reason"]) == ("ok", ""), plugin
        assert plugin["distribution"] == f"seqzoo-my-{kind}"


def test_their_own_tests_pass_unchanged(home, written, tmp_path):
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    home.run("-m", "pytest", *options, *written.values(), cwd=tmp_path)


@pytest.mark.parametrize("kind", ["backbone", "metric"])
def test_its_checks_pass(home, kind):
    assert "all checks passed" in home.seqzoo("check", f"my-{kind}").stdout


def test_its_code_is_as_clean_as_ours(written):
    ruff = [sys.executable, "-m", "ruff"]
    # On its own, as its author has it: seqzoo is one more package there.
    alone = ["--isolated", "--no-cache", "--line-length", "100"]
    rules = ["--select", "E,F,W,I,B,UP,SIM,RET,C4"]
    for folder in written.values():
        for command in (["check", *alone, *rules, "."], ["format", *alone, "--check", "."]):
            done = subprocess.run([*ruff, *command], capture_output=True, text=True, cwd=folder)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_all_kinds_work_where_they_are_used(home, tmp_path):
    """Train the backbone with the loss on the data set; measure it by the protocol and metric."""
    out = tmp_path / "run"
    settings = ["model.loss=my-loss", "model.hidden_size=8", "train.epochs=2"]
    home.seqzoo("train", "my-backbone", "--data", "my-dataset", "--out", out, *settings)
    shown = home.seqzoo("eval", out, "--protocol", "my-protocol", "--json")
    metrics = json.loads(shown.stdout)["metrics"]
    assert {"hit@1", "ndcg@100", "my-metric@10"} <= set(metrics)
    assert metrics["hit@10"] > 0.5
    assert "my-command" in home.seqzoo("--help").stdout
    assert "knows 12 items" in home.seqzoo("my-command", out).stdout
    # Another machine does not have the plugin: the message says what to install.
    without = home.seqzoo(
        "recommend", out, "--history", "item-1", check=False, SEQZOO_DISABLE_PLUGINS="my-backbone"
    )
    assert without.returncode == 2
    assert "switched off" in without.stderr


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("LinRec", "backbone", "lower-case letters"),
        ("-x", "backbone", "lower-case letters"),
        ("lin--rec", "backbone", "lower-case letters"),
        ("../rec", "backbone", "lower-case letters"),
        ("none", "backbone", "it is a keyword of Python"),
        ("sasrec", "backbone", "is taken by a backbone"),
        ("train", "command", "is taken by a command"),
        ("linrec", "backbones", "did you mean 'backbone'"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, kind, message):
    with pytest.raises(UsageError, match=message):
        new_plugin(name, kind, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_that_is_there_is_overwritten(tmp_path, capsys):
    words = ["new-plugin", "linrec", "--in", str(tmp_path)]
    assert run([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "seqzoo_linrec/backbone.py" in answer["files"]
    (tmp_path / "seqzoo-linrec" / "README.md").write_text("mine")
    assert run(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "seqzoo-linrec" / "README.md").read_text() == "mine"
