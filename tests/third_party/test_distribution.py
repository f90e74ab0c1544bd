"""A third-party distribution is built, installed, found, checked and trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "seqzoo-lrurec"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs ``python -m`` with the plugin installed in a folder of its own."""
    site = tmp_path_factory.mktemp("site")

    def run(*arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=site,
            env={**os.environ, "PYTHONPATH": str(site), **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index",
        "--target", site, SOURCE)  # fmt: skip
    return run


def record(run, **environment):
    (found,) = (
        entry
        for entry in json.loads(run("seqzoo", "plugins", "--json", **environment))
        if entry["name"] == "lrurec"
    )
    return found


def test_it_is_found_and_can_be_switched_off(run):
    found = record(run, SEQZOO_STRICT_PLUGINS="1")
    assert (found["distribution"], found["status"]) == ("seqzoo-lrurec", "ok")
    assert found["provides"] == ["backbone lrurec", "architecture lrurec"]
    (listed,) = json.loads(run("seqzoo", "list", "lrurec", "--json"))
    assert listed["plugin"] == "lrurec"
    assert record(run, SEQZOO_DISABLE_PLUGINS="lrurec")["status"] == "disabled"


def test_its_own_tests_pass(run):
    run("pytest", SOURCE, "-p", "no:cacheprovider")


@pytest.mark.slow
def test_it_trains_and_its_checkpoint_loads(run, tmp_path):
    out = tmp_path / "run"
    run("seqzoo", "train", "lrurec", "--data", "synthetic", "--out", out,
        "model.hidden_size=8", "train.epochs=1")  # fmt: skip
    manifest = json.loads((out / "config.json").read_text("utf-8"))
    assert "seqzoo-lrurec" in json.dumps(manifest)
    answer = json.loads(run("seqzoo", "recommend", out, "--history", "i1", "-k", 3, "--json"))
    assert len(answer["recommendations"]) == 3
    # Without the plugin the checkpoint says what to install.
    done = subprocess.run(
        [sys.executable, "-m", "seqzoo", "recommend", str(out), "--history", "i1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pip install seqzoo-lrurec" in done.stderr
