"""A third-party plugin, from pip install to a model on the Hub and on another machine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import client
from .server import HubServer

LRUREC = Path(__file__).parents[1] / "third_party" / "seqzoo-lrurec"


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running
    assert not running.errors, "\n".join(running.errors)


@pytest.fixture
def variables(server, tmp_path) -> Callable[[str], dict[str, str]]:
    """What tells a machine where the Hub is, and where its own cache."""

    def variables(machine: str) -> dict[str, str]:
        env = client.client_environment(server.url, tmp_path / machine)
        return {name: env[name] for name in env if name.startswith("HF_")}

    return variables


@pytest.mark.slow
def test_the_journey(environment, server, variables, tmp_path):
    author, user = environment(), environment()
    author.install(LRUREC)
    found = {p["name"]: p for p in json.loads(author.seqzoo("plugins", "--json").stdout)}
    assert (found["lru"]["distribution"], found["lru"]["status"]) == ("seqzoo-lrurec", "ok")
    assert "all checks passed" in author.seqzoo("check", "lru").stdout

    out = tmp_path / "lru-small"
    settings = ["model.hidden_size=8", "train.epochs=2", "train.batch_size=8"]
    author.seqzoo("train", "lru", "--data", "synthetic", "--out", out, *settings)
    here = variables("author")
    pushed = json.loads(author.seqzoo("push", out, "them/lru-small", "--json", **here).stdout)
    assert pushed["commit"] == server.head("them/lru-small")

    address = f"hf://them/lru-small@{pushed['commit']}"
    there = variables("user")
    words = ("recommend", address, "--history", "i1", "i2", "-k", "3", "--json")
    refused = user.seqzoo(*words, check=False, **there)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "is not installed; pip install seqzoo-lrurec" in refused.stderr
    # What needs no plugin works without it.
    user.seqzoo("recommend", "mamba4rec-ml1m", "--history", "1", "260", "-k", "1")

    user.install(LRUREC)
    expected = author.seqzoo("recommend", out, *words[2:]).stdout
    answer = json.loads(user.seqzoo(*words, **there).stdout)
    assert answer["recommendations"] == json.loads(expected)["recommendations"]
    measured = user.seqzoo("eval", address, "--json", **there)
    assert json.loads(measured.stdout)["drift"] == {}

    user.pip("uninstall", "-y", "seqzoo-lrurec")
    listed = json.loads(user.seqzoo("list", "--json").stdout)
    assert "lru" not in {model["name"] for model in listed}
    assert user.seqzoo(*words, check=False, **there).returncode == 2
