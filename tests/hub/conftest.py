"""A Hub of one's own for each test, and the real client to ask it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import client
from .server import HubServer


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
