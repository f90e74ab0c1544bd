"""What requests may cost: answers, groups of requests, exclusions, and clients that do not read."""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
import tracemalloc
from pathlib import Path

import httpx
import pytest

import seqzoo
from seqzoo.serving.service.batching import Batcher
from seqzoo.serving.service.documents import Documents
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.requests import RecommendRequest, recommend
from tests.samples import make_model

ITEMS = 1_200
MIB = 1 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint with more items than the largest ``k``."""
    folder = tmp_path_factory.mktemp("models") / "large"
    make_model(items=ITEMS).save_pretrained(folder)
    return folder


def peak(running) -> int:
    """The most bytes that the process of a service has held so far."""
    path = Path(f"/proc/{running.process.pid}/status")
    if not path.exists():
        pytest.skip("memory is read from /proc")
    return int(re.search(r"VmHWM:\s+(\d+) kB", path.read_text())[1]) << 10


def test_large_answers_at_the_same_time_leave_memory_bounded_and_the_service_responsive(
    serve, large
):
    running = serve(large, "--quiet")
    bodies = [
        {"histories": [[f"item-{n}"] for n in range(16)], "k": 1_000},
        {"histories": [[f"item-{n}"] for n in range(256)], "k": 64},
    ]
    done, waits = threading.Event(), []

    def watch():
        with running.client() as client:
            while not done.is_set():
                started = time.monotonic()
                client.get("/healthz").raise_for_status()
                waits.append(time.monotonic() - started)
                done.wait(0.05)

    async def load():
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(base_url=running.address, timeout=60, limits=limits) as client:

            async def ask(body):
                return (await client.post("/v1/recommend", json=body)).status_code

            return await asyncio.gather(*(ask(bodies[n % 2]) for n in range(64)))

    with running.client() as client:
        for body in bodies:
            answer = client.post("/v1/recommend", json=body).json()
            counts = {len(each["recommendations"]) for each in answer["results"]}
            assert counts == {body["k"]}
        before = peak(running)
        watching = threading.Thread(target=watch)
        watching.start()
        try:
            statuses = asyncio.run(load())
        finally:
            done.set()
            watching.join()
        grown = peak(running) - before
    assert set(statuses) == {200}
    assert max(waits) < 1, f"{max(waits):.2f} s"
    assert grown < 128 * MIB, f"{grown / MIB:.0f} MiB"


def test_many_exclusions_are_read_once_for_all_histories(serve, large):
    running = serve(large, "--quiet")
    exclude = [f"item-{n % 1_190}" for n in range(100_000)]
    histories = [[f"item-{n}"] for n in range(256)]
    with running.client() as client:
        one = {"histories": histories[:1], "exclude": exclude}
        assert client.post("/v1/recommend", json=one).status_code == 200
        before = peak(running)
        answer = client.post("/v1/recommend", json={"histories": histories, "exclude": exclude})
        grown = peak(running) - before
    expected = seqzoo.load(large).recommend_many(histories, exclude=set(exclude))
    for found, best in zip(answer.json()["results"], expected, strict=True):
        items = [each["item"] for each in found["recommendations"]]
        assert items == [each.item for each in best]
        assert len(items) == ITEMS - 1_190
    assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB"


def test_requests_with_few_and_with_many_exclusions_are_answered_each_on_its_own():
    model = make_model(items=ITEMS)
    many = tuple(f"item-{n % 1_000}" for n in range(20_000))
    requests = [
        RecommendRequest([["item-1"], ["item-2"]], k=5, exclude=exclude, candidates=candidates)
        for exclude in ((), many, ("item-3", "gone"), many)
        for candidates in (None, tuple(f"item-{n}" for n in range(900, 1_100)))
    ]
    for request, answer in zip(requests, recommend(model, requests), strict=True):
        expected = model.recommend_many(
            request.histories, 5, exclude=request.exclude, candidates=request.candidates
        )
        found = [[each.item for each in best] for best in answer]
        assert found == [[each.item for each in best] for best in expected]


def test_requests_for_many_recommendations_are_computed_in_smaller_groups():
    started, release, groups = threading.Event(), threading.Event(), []

    def work(requests):
        started.set()
        assert release.wait(30)
        groups.append(list(requests))
        return requests

    batcher = Batcher(work, most=3, room=100, size=lambda request: request, waiting=100)
    expected = [
        [(5, 10), (5, 10)],
        [(1, 1), (10, 4)],
        [(1, 60)],
        [(30, 10)],
        [(1, 1), (1, 1), (1, 1)],
        [(1, 1)],
    ]

    async def ask():
        first = asyncio.ensure_future(batcher.submit((1, 1), 30))
        await asyncio.to_thread(started.wait, 30)
        requests = [request for group in expected for request in group]
        rest = [asyncio.ensure_future(batcher.submit(each, 30)) for each in requests]
        await asyncio.sleep(0)  # all of them wait now
        assert len(batcher) == len(requests)
        release.set()
        assert await asyncio.gather(first, *rest) == [(1, 1), *requests]

    try:
        asyncio.run(ask())
    finally:
        release.set()
        batcher.close()
    assert groups == [[(1, 1)], *expected]


def test_a_client_that_does_not_read_its_answer_loses_the_connection(serve, checkpoint):
    running = serve(checkpoint, "--timeout", "2", "--quiet")
    request = {"history": ["x" * 500] * 8_000, "on_cold": "popular", "k": 1}
    body = json.dumps(request).encode()
    head = (
        "POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    host, port = running.address.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.settimeout(30)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((host, int(port)))
        connection.sendall(head.encode() + body)
        first = connection.recv(1_024)
        time.sleep(4)
        received = len(first)
        with contextlib.suppress(ConnectionError):
            while block := connection.recv(1 << 16):
                received += len(block)
    assert first.startswith(b"HTTP/1.1 200")
    length = int(re.search(rb"content-length: (\d+)", first)[1])
    assert length > 2 * len(body) * 0.9  # the history, and its unknown items
    assert received < length
    with running.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_body_that_is_read_takes_up_to_twenty_times_its_bytes():
    """The factor of docs/how-to/plan-capacity.md, for ids of two characters."""
    history = [str(10 + n % 90) for n in range(10_000)]
    body = json.dumps({"histories": [history] * 83}, separators=(",", ":")).encode()
    assert len(body) <= Limits().body_bytes
    document = Documents(Limits()).recommend
    tracemalloc.start()
    try:
        read = document.model_validate(json.loads(body))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read.histories) == 83
    assert 10 * len(body) < held < 20 * len(body), f"{held / len(body):.1f}"
