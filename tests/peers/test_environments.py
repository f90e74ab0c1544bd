"""Building environments of peers: the messages, and what is built again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import peers

LIST = "# Nothing but this comment.\n"


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """A folder of its own, and a pip that reaches no index."""
    monkeypatch.setenv("SEQZOO_PEERS", str(tmp_path / "peers"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in (*peers.PEERS, *peers.CODE):
        monkeypatch.delenv(peers.variable_of(name), raising=False)


def test_a_variable_names_a_python_or_a_folder_to_use(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQZOO_PEER_MAMBA_SSM_2_2_4", sys.executable)
    monkeypatch.setenv("SEQZOO_PEER_TIM4REC", str(tmp_path))
    assert peers.python_of("mamba-ssm-2.2.4") == Path(sys.executable)
    assert peers.code_of("tim4rec") == tmp_path
    assert not (tmp_path / "peers").exists()


@pytest.mark.slow
def test_what_cannot_be_installed_is_named_and_tried_again():
    for _ in range(2):
        with pytest.raises(peers.PeerUnavailableError, match="pytrec-eval-terrier==0"):
            peers.python_of("pytrec-eval")


def test_a_repository_that_cannot_be_cloned_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setitem(peers.CODE, "mamba4rec", (str(tmp_path / "nowhere"), "0" * 40))
    with pytest.raises(peers.PeerUnavailableError, match="set SEQZOO_PEER_MAMBA4REC to a folder"):
        peers.code_of("mamba4rec")


@pytest.mark.slow
def test_an_environment_is_built_once_and_again_when_its_list_changes(monkeypatch, tmp_path):
    (tmp_path / "list.txt").write_text(LIST)
    monkeypatch.setattr(peers, "REQUIREMENTS", tmp_path)
    monkeypatch.setitem(peers.PEERS, "base", peers.Peer("list.txt"))
    monkeypatch.setitem(peers.PEERS, "above", peers.Peer(base="base"))
    python = peers.python_of("above")
    mark = Path(python).parent / "mark"
    mark.touch()
    assert peers.python_of("above") == python
    assert mark.exists()
    # The base's packages can be imported from the environment above it.
    (module,) = (tmp_path / "peers" / "base").rglob("site-packages")
    (module / "of_the_base.py").touch()
    subprocess.run([str(python), "-c", "import of_the_base"], check=True)
    (tmp_path / "list.txt").write_text(LIST * 2)
    peers.python_of("above")
    assert not mark.exists()
