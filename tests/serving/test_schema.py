"""Schemathesis against the OpenAPI document of a real service.

No answer is a 500, and every answer is one that the document describes.
"""

import contextlib
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = {
    "GET /healthz",
    "GET /metrics",
    "GET /v1/models",
    "POST /v1/recommend",
    "POST /v1/similar",
    "POST /v1/items",
    "POST /v1/reasons",
    "POST /v1/sessions/{user}/events",
    "GET /v1/sessions/{user}/recommendations",
    "DELETE /v1/sessions/{user}",
}


def send(operation, mode: GenerationMode, examples: int, seen: set[int]) -> None:
    """Send requests of one operation, valid or invalid ones."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def call(case):
        answer = case.call_and_validate(checks=CHECKS, timeout=30)
        seen.add(answer.status_code)

    call()


def explore(address: str, examples: int, turn: int = 0) -> dict[str, set[int]]:
    """Send valid and invalid requests to every operation; the statuses of the answers.

    Args:
        address: of the service.
        examples: requests of each kind for each operation.
        turn: the operation to begin with.
    """
    schema = schemathesis.openapi.from_url(address + "/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: dict[str, set[int]] = {}
    for operation in [*operations[turn:], *operations[:turn]]:
        seen = statuses.setdefault(operation.label, set())
        send(operation, GenerationMode.POSITIVE, examples, seen)
        # Operations without parameters have no invalid requests.
        with contextlib.suppress(Unsatisfiable):
            send(operation, GenerationMode.NEGATIVE, examples, seen)
    return statuses


def look(statuses: dict[str, set[int]]) -> None:
    assert set(statuses) == OPERATIONS
    assert {200, 422} <= set.union(*statuses.values())
    assert statuses["GET /healthz"] == {200}


def memory(service) -> int:
    """Bytes that the process of a service holds."""
    pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_generated_requests(service):
    look(explore(service.address, 10))


@pytest.mark.slow
def test_many_generated_requests(service):
    look(explore(service.address, 500))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_generated_requests_at_the_same_time_do_not_grow_memory(service):
    """Four clients at once, each beginning with other operations; three times the same requests."""
    found = []
    for _ in range(3):
        with ProcessPoolExecutor(4, get_context("spawn")) as clients:
            asked = [clients.submit(explore, service.address, 100, 2 * n) for n in range(4)]
            for each in asked:
                look(each.result())
        found.append(memory(service))
    assert found[-1] < 1.05 * found[0], [f"{each / 2**20:.0f} MiB" for each in found]
