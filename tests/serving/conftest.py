"""A real service in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.samples import make_model


@dataclass
class Running:
    """A service that runs: its process, its address, and its log."""

    process: subprocess.Popen
    address: str
    log: Path

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=30, **options)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def lines(self) -> list[dict]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]


def start(*words: object, **variables: str) -> Running:
    """Start ``seqzoo serve`` on a free port, and wait until it is ready."""
    log = Path(tempfile.mkstemp(suffix=".log")[1])
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqzoo", "serve", *map(str, words), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        )
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        assert line, f"the service did not start: {log.read_text()}"
        text += line
    running = Running(process, json.loads(text)["address"], log)
    for _ in range(200):
        try:
            httpx.get(running.address + "/healthz", timeout=5)
            return running
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Start services that end with the test."""
    started = []

    def call(*words: object, **variables: str) -> Running:
        started.append(start(*words, **variables))
        return started[-1]

    yield call
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait()
        running.process.stdout.close()
        running.log.unlink()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with item counts, saved."""
    folder = tmp_path_factory.mktemp("models") / "small"
    model = make_model()
    model.vocabulary = model.vocabulary.with_counts(range(1, 21))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def service(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service with a store, for all tests of a module."""
    store = tmp_path_factory.mktemp("store") / "sessions.db"
    running = start(checkpoint, "--store", store)
    yield running
    running.stop()
    running.process.stdout.close()
    running.log.unlink()
