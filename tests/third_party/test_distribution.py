"""Third-party distributions are built, installed, found, checked and trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROVIDED = {
    "lru": ["backbone lru", "architecture lru"],
    "cloze": ["backbone cloze", "architecture cloze"],
    "duorec-clean": ["objective duorec-clean", "architecture duorec-clean"],
}
# Its names differ from those of the architecture that comes with seqzoo.
DISTRIBUTIONS = {"lru": "seqzoo-lrurec"}


@pytest.fixture(scope="module", params=PROVIDED)
def name(request):
    """Of the plugin."""
    return request.param


@pytest.fixture(scope="module")
def distribution(name):
    return DISTRIBUTIONS.get(name, f"seqzoo-{name}")


@pytest.fixture(scope="module")
def run(tmp_path_factory, distribution):
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
        "--target", site, HERE / distribution)  # fmt: skip
    return run


def record(run, name, **environment):
    (found,) = (
        entry
        for entry in json.loads(run("seqzoo", "plugins", "--json", **environment))
        if entry["name"] == name
    )
    return found


def test_it_is_found_and_can_be_switched_off(run, name, distribution):
    found = record(run, name, SEQZOO_STRICT_PLUGINS="1")
    assert (found["distribution"], found["status"]) == (distribution, "ok")
    assert found["provides"] == PROVIDED[name]
    (listed,) = json.loads(run("seqzoo", "list", name, "--json"))
    assert listed["plugin"] == name
    assert record(run, name, SEQZOO_DISABLE_PLUGINS=name)["status"] == "disabled"


@pytest.mark.slow
def test_its_own_tests_pass(run, distribution):
    run("pytest", HERE / distribution, "-p", "no:cacheprovider")


@pytest.mark.slow
def test_it_trains_and_its_checkpoint_loads(run, name, distribution, tmp_path):
    out = tmp_path / "run"
    # Of a narrower model dropout may leave nothing to normalise, and its gradient is infinite then.
    run("seqzoo", "train", name, "--data", "synthetic", "--out", out,
        "model.hidden_size=16", "train.epochs=1")  # fmt: skip
    manifest = json.loads((out / "config.json").read_text("utf-8"))
    assert distribution in json.dumps(manifest)
    answer = json.loads(run("seqzoo", "recommend", out, "--history", "i1", "-k", 3, "--json"))
    assert len(answer["recommendations"]) == 3
    # Without the plugin the checkpoint says what to install.
    done = subprocess.run(
        [sys.executable, "-m", "seqzoo", "recommend", str(out), "--history", "i1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"pip install {distribution}" in done.stderr
