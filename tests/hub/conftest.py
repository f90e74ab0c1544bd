"""A Hub of one's own for each test, and the real client to ask it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel

from . import client
from .samples import FILES
from .server import HubServer
from .worker import Worker

PNG = b"\x89PNG\r\n\x1a\n a picture"
HAND = "---\nlicense: mit\n---\n# Mine\n\nWritten on the web.\n"
PUSH = "answer['code'] = run(['push', {!r}, 'org/shop', *{!r}, '--json'])"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A server without repositories; a failure of the server itself fails the test."""
    with HubServer() as server:
        yield server
    assert not server.errors, "\n".join(server.errors)


@pytest.fixture
def hub_env(hub: HubServer, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """``hub_env(token=…, xet=…, home=…, NAME=…)``: variables for a process that uses ``hub``."""

    def environment(home: str | Path = "hf", **options: object) -> dict[str, str]:
        return client.client_environment(hub.url, tmp_path / home, **options)  # type: ignore[arg-type]

    return environment


@pytest.fixture
def run_client() -> Callable[..., dict[str, object]]:
    """``run_client(code, env)``: what the code put into ``answer``."""
    return client.run_client


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    """One server for all tests of a module."""
    with HubServer() as running:
        yield running
    assert not running.errors, "\n".join(running.errors)


@pytest.fixture(scope="module")
def work(server, tmp_path_factory) -> Iterator[Worker]:
    """A process with the real client, for all tests of a module."""
    home = tmp_path_factory.mktemp("hub") / "home"
    worker = Worker(client.client_environment(server.url, home))
    yield worker
    worker.close()


@pytest.fixture
def emptied_hub(server) -> Iterator[HubServer]:
    """The module's server without repositories, and nothing going wrong."""
    server.store.repos.clear()
    server.faults.clear()
    server.clear_log()
    yield server
    server.faults.clear()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small checkpoint."""
    torch.manual_seed(0)
    items = Vocabulary([f"item-{index}" for index in range(20)])
    model = SequenceModel.build("sasrec", {"hidden_size": 16, "max_length": 10}, items)
    recipe = {"architecture": "sasrec", "data": {"source": "toy"}}
    save_model(tmp_path / "mine", model, recipe=recipe, metrics={})
    return tmp_path / "mine"


@pytest.fixture
def push(emptied_hub, work, folder, tmp_path):
    """Push the folder with more words on the command line: the exit code, and what was printed."""

    def push(*words, of=None):
        reply = work(PUSH.format(str(of or folder), list(words)), tmp_path / "cache").expect()
        code, push.log = reply.answer["code"], reply.log
        return code, json.loads(reply.out) if code == 0 else reply.err

    return push


@pytest.fixture
def small_files(tmp_path: Path) -> Path:
    """A folder with the files of a small repository."""
    root = tmp_path / "checkpoint"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root
