"""A Hub on this machine, and ``tools/publish.py`` as maintainers run it."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub.client import client_environment
from tests.hub.server import HubServer

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "model_cards"
NAMES = sorted(config.parent.name for config in CARDS.glob("*/config.json"))
FEW = ("gru4rec-ml100k", "sasrec-ml100k", "sasrec-ml1m@recbole")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A server without repositories; a failure of the server itself fails the test."""
    with HubServer() as server:
        yield server
    assert not server.errors, "\n".join(server.errors)


@dataclass
class Publisher:
    """Runs ``tools/publish.py`` on copies of a few checkpoints, with a file of pins of its own."""

    hub: HubServer
    cards: Path
    pins: Path
    home: Path

    def command(self, *words: str, org: str = "org") -> list[str]:
        files = ["--cards", str(self.cards), "--pins", str(self.pins)]
        return [sys.executable, str(ROOT / "tools" / "publish.py"), "--org", org, *files, *words]

    def environment(self, **more: object) -> dict[str, str]:
        return client_environment(self.hub.url, self.home, **more)  # type: ignore[arg-type]

    def __call__(
        self, *words: str, org: str = "org", **more: object
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words, org=org),
            env=self.environment(**more),
            capture_output=True,
            text=True,
        )


@pytest.fixture
def publisher(hub, tmp_path) -> Callable[[Sequence[str]], Publisher]:
    """``publisher(names)``: the tool for copies of these checkpoints."""

    def publisher(names: Sequence[str] = FEW) -> Publisher:
        for name in names:
            shutil.copytree(CARDS / name, tmp_path / "cards" / name)
        (tmp_path / "pins.json").write_text("{}\n")
        return Publisher(hub, tmp_path / "cards", tmp_path / "pins.json", tmp_path / "home")

    return publisher
