"""A service that is killed, stopped, reloaded, overloaded, or fed badly; always a real process."""

import asyncio
import json
import shutil
import signal
import socket
import time

import httpx
import pytest

import seqzoo
from tests.samples import make_model


def recommend_once(client):
    return client.post("/v1/recommend", json={"history": ["item-1", "item-2"], "k": 3})


async def send_events(address, name, acknowledged, until):
    """Post events of one user one after another; counts those that were acknowledged."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        while time.monotonic() < until:
            try:
                answer = await client.post(
                    f"/v1/sessions/{name}/events", json={"item": f"item-{acknowledged[name] % 20}"}
                )
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                acknowledged[name] = answer.json()["events"]


def test_a_kill_in_mid_load_loses_no_acknowledged_event(serve, checkpoint, tmp_path):
    store = tmp_path / "sessions.db"
    running = serve(checkpoint, "--store", store, "--quiet")
    acknowledged = {f"u{n}": 0 for n in range(24)}

    async def load():
        until = time.monotonic() + 30
        calls = [send_events(running.address, name, acknowledged, until) for name in acknowledged]
        loading = asyncio.gather(*calls)
        while sum(acknowledged.values()) < 150:
            await asyncio.sleep(0.02)
        running.process.kill()
        await loading

    asyncio.run(load())
    assert sum(acknowledged.values()) > 0
    again = serve(checkpoint, "--store", store, "--quiet")
    model = seqzoo.load(checkpoint)
    with again.client() as client:
        for name, count in acknowledged.items():
            # Sends one more: its answer says how many there were.
            answer = client.post(f"/v1/sessions/{name}/events", json={"item": "item-0"}).json()
            assert count <= answer["events"] - 1 <= count + 1
        history = [f"item-{n % 20}" for n in range(answer["events"] - 1)] + ["item-0"]
        params = {"k": 5, "exclude_seen": False}
        found = client.get(f"/v1/sessions/{name}/recommendations", params=params).json()
        expected = model.recommend(history, 5, exclude_seen=False)
    assert [e["item"] for e in found["recommendations"]] == [e.item for e in expected]
    assert again.stop() == 0


async def ask_until_stopped(address, counts):
    """Ask one request after another until the service turns this client away."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        while True:
            try:
                answer = await client.post("/v1/recommend", json={"history": ["item-1"], "k": 3})
            except httpx.ConnectError:
                return  # not accepted, so nothing was dropped
            except httpx.TransportError as error:
                counts["dropped"].append(repr(error))
                return
            counts["answered"] += answer.status_code == 200
            counts["other"] += answer.status_code != 200
            if answer.headers.get("connection") == "close":
                counts["turned away"] += 1
                return


def test_sigterm_in_mid_load_drops_no_request(serve, checkpoint):
    running = serve(checkpoint, "--drain", "1", "--quiet")
    counts = {"answered": 0, "other": 0, "turned away": 0, "dropped": []}

    async def load():
        loading = asyncio.gather(*(ask_until_stopped(running.address, counts) for _ in range(32)))
        while counts["answered"] < 200:
            await asyncio.sleep(0.02)
        running.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        async with httpx.AsyncClient(base_url=running.address) as client:
            health = await client.get("/healthz")
            counts["health"] = health.status_code
        await loading

    asyncio.run(load())
    assert counts["dropped"] == []
    assert counts["other"] == 0
    assert counts["turned away"] == 32
    assert counts["health"] == 503
    assert running.process.wait(30) == 0


def test_a_newer_checkpoint_is_loaded_without_losing_a_request(serve, checkpoint, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    store = tmp_path / "sessions.db"
    running = serve(f"shop={folder}", "--store", store)
    newer = make_model(seed=1)
    expected = [each.item for each in newer.recommend(["item-1", "item-2"], 3)]
    with running.client() as client:
        for item in ("item-1", "item-2"):
            client.post("/v1/sessions/ann/events", json={"model": "shop", "item": item})
        before = [each["item"] for each in recommend_once(client).json()["recommendations"]]
        assert before != expected
        newer.save_pretrained(folder)
        found, until = before, time.monotonic() + 20
        while found != expected:
            assert time.monotonic() < until
            answer = recommend_once(client)
            assert answer.status_code == 200
            found = [each["item"] for each in answer.json()["recommendations"]]
            assert found in (before, expected)
        answer = client.get("/v1/sessions/ann/recommendations", params={"k": 3}).json()
        assert [each["item"] for each in answer["recommendations"]] == expected

        def reloads(result):
            found = f'seqzoo_model_reloads_total{{model="shop",result="{result}"}} '
            lines = client.get("/metrics").text.splitlines()
            return sum(float(line.removeprefix(found)) for line in lines if line.startswith(found))

        # A signal loads the checkpoint again though it has not changed.
        assert reloads("replaced") == 1
        running.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 20
        while reloads("replaced") != 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        # A damaged checkpoint is not taken, and the log says why.
        assert reloads("failed") == 0
        (folder / "config.json").write_text("{")
        time.sleep(3)
        assert recommend_once(client).status_code == 200
        assert 1 <= reloads("failed") <= 2
    events = [line["event"] for line in running.lines()]
    assert "reloaded" in events
    assert "reload failed" in events


def test_too_many_requests_are_refused_and_the_rest_answered(serve, checkpoint):
    running = serve(checkpoint, "--waiting", "4", "--batch", "1", "--quiet")
    histories = [[f"item-{n % 20}" for n in range(200)]] * 100

    async def load():
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=running.address, timeout=60, limits=limits) as client:
            calls = [
                client.post("/v1/recommend", json={"histories": histories, "k": 5})
                for _ in range(60)
            ]
            return await asyncio.gather(*calls)

    answers = asyncio.run(load())
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["type"] == "overloaded"
    with running.client() as client:
        assert recommend_once(client).status_code == 200


def exchange(address, *parts, wait=0.0, seconds=15):
    """What the service says to raw bytes, until it closes the connection or is silent."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        said = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(wait)
            while block := connection.recv(1 << 16):
                said += block
        except (TimeoutError, ConnectionError):
            pass
    return said


def test_slow_and_malformed_bytes(serve, checkpoint):
    running = serve(checkpoint, "--timeout", "1", "--quiet")
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    started = time.monotonic()
    assert exchange(running.address, b"GET /healthz HT") == b""  # headers that never end
    assert exchange(running.address, b"") == b""  # a connection that says nothing
    slow = exchange(running.address, head + b"content-length: 100\r\n\r\n{")
    assert slow.startswith(b"HTTP/1.1 408")
    assert json.loads(slow.partition(b"\r\n\r\n")[2])["error"]["type"] == "timeout"
    assert time.monotonic() - started < 12
    other = exchange(running.address, b"\x16\x03\x01\x02\x00\r\n\r\n")
    assert other.startswith(b"HTTP/1.1 400")
    assert json.loads(other.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_http"
    huge = head + b"transfer-encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    assert exchange(running.address, huge, *[chunk] * 6).startswith(b"HTTP/1.1 413")
    endless = head + b"content-length: 99999999999999999999999999\r\n\r\n"
    assert exchange(running.address, endless).startswith(b"HTTP/1.1 400")
    too_long = head + b"content-length: 99999999999999\r\n\r\n"
    assert exchange(running.address, too_long).startswith(b"HTTP/1.1 413")
    with running.client() as client:
        assert recommend_once(client).status_code == 200


def test_a_token_and_logs_without_ids(serve, checkpoint, tmp_path):
    token = tmp_path / "token"
    token.write_text("a-token\n")
    running = serve(checkpoint, "--token-file", token)
    with running.client() as client:
        answer = recommend_once(client)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorized")
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").status_code == 200
        client.headers["authorization"] = "Bearer a-token"
        client.post("/v1/recommend", json={"history": ["item-1", "a-secret-item"]})
        client.post("/v1/sessions/a-secret-user/events", json={"item": "item-1"})
        client.post("/v1/sessions/a-secret-user/events", json={"item": "a-secret-item"})
        client.get("/a-secret-path")
    assert running.stop() == 0
    text = running.log.read_text()
    assert "secret" not in text
    assert "a-token" not in text
    requests = [line for line in running.lines() if line["event"] == "request"]
    assert [(line["route"], line["status"]) for line in requests[-4:]] == [
        ("/v1/recommend", 200),
        ("/v1/sessions/{user}/events", 200),
        ("/v1/sessions/{user}/events", 422),
        ("other", 404),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-model"], "no-such-model"),
        (["CHECKPOINT", "--batch", "0"], "--batch is 0; expected more than 0"),
        (["CHECKPOINT", "CHECKPOINT"], "named twice"),
        (["CHECKPOINT", "--token-file", "/no/file"], "--token-file /no/file cannot be read"),
        (["CHECKPOINT", "--host", "192.0.2.1"], "--host 192.0.2.1"),
        (["CHECKPOINT", "--store", "/no/folder.db"], "/no/folder.db cannot be opened"),
    ],
)
def test_wrong_use(checkpoint, words, message, capsys):
    from seqzoo.cli.app import run

    words = [str(checkpoint) if word == "CHECKPOINT" else word for word in words]
    assert run(["serve", *words, "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert message in line
