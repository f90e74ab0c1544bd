"""A hostile Hub: what tests/hub does not try yet."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.hub.server import HubServer

REPO = "org/shop"
LOAD = f"answer['items'] = list(seqzoo.load('hf://{REPO}').vocabulary.items)"
QUICK = """
from seqzoo.checkpoint.hub import api
from seqzoo.checkpoint.hub.listing import list_hub
usual = api.PATIENCE
api.PATIENCE = 1.0
try:
    {code}
finally:
    api.PATIENCE = usual
"""
LIST = "answer['names'] = [model.address.repo for model in list_hub()]"


@pytest.fixture
def hub(emptied_hub, folder) -> HubServer:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    emptied_hub.add_repo(REPO, files)
    emptied_hub.clear_log()
    return emptied_hub


class Listener:
    """Another host: keeps what it is asked, and answers byte by byte."""

    def __init__(self, answer: bytes, pause: float = 0.0) -> None:
        self.answer, self.pause = answer, pause
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._reply, args=[connection], daemon=True).start()

    def _reply(self, connection: socket.socket) -> None:
        try:
            with connection:
                self.asked.append(connection.recv(65536))
                for index in range(len(self.answer)):
                    connection.sendall(self.answer[index : index + 1])
                    time.sleep(self.pause)
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def other_host() -> Iterator[Listener]:
    listener = Listener(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    yield listener
    listener.close()


@pytest.mark.parametrize("part", ["?expand", "/paths-info/", "/config.json", "/model.safetensors"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_stays_with_its_host(hub, work, tmp_path, other_host, part, status):
    headers = {"Location": other_host.url.replace("127.0.0.1", "localhost") + "/x"}
    hub.faults.add(part, kind="replace", method=None, times=None, status=status, headers=headers)
    reply = work(LOAD, tmp_path)
    assert reply.error == "HubError", reply.message
    assert other_host.asked
    assert not any(b"hf_test_write" in asked for asked in other_host.asked)
    assert "hf_test_write" not in reply.message


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://x/y",
        "http://[",
        "//",
        "javascript:1",
        "http://127.0.0.1:1/x",
        "",
    ],
)
def test_redirects_to_odd_places(hub, work, tmp_path, target):
    headers = {"Location": target}
    hub.faults.add("/config.json", kind="replace", times=None, status=302, headers=headers)
    reply = work(LOAD, tmp_path)
    # A redirect that the client does not know is an answer: its body counts if it is the file.
    assert reply.error in (None, "HubError"), reply.message
    assert "\n" not in reply.message


def test_headers_that_come_byte_by_byte_are_given_up(work, tmp_path):
    head = b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 5000
    listener = Listener(head, pause=0.05)
    started = time.monotonic()
    body = "\n".join(
        [
            "from seqzoo.checkpoint.hub import api",
            "from huggingface_hub import constants",
            "usual, kept = api.PATIENCE, constants.ENDPOINT",
            f"api.PATIENCE, constants.ENDPOINT = 1.0, {listener.url!r}",
            "try:",
            f"    {LOAD}",
            "finally:",
            "    api.PATIENCE, constants.ENDPOINT = usual, kept",
        ]
    )
    reply = work(body, tmp_path).expect("HubError")
    listener.close()
    assert time.monotonic() - started < 30
    assert "\n" not in reply.message


def test_pages_without_end_are_given_up(hub, work, tmp_path):
    headers = {"Link": f'<{hub.url}/api/models?cursor=1>; rel="next"'}
    hub.faults.add(
        "/api/models?", kind="replace", times=None, status=200, data=b"[]", headers=headers
    )
    started = time.monotonic()
    reply = work(QUICK.format(code=LIST), tmp_path)
    assert time.monotonic() - started < 30
    assert reply.error in (None, "HubError"), reply.message
    if reply.error is None:
        assert reply.answer["names"] == []


@pytest.mark.parametrize("count", [100_001, 400_000])
def test_a_huge_listing_is_refused(hub, work, tmp_path, count):
    data = b"[" + b",".join([b'{"id":"a/b"}'] * count) + b"]"
    for part, code in (("/api/models?", QUICK.format(code=LIST)), ("/paths-info/", LOAD)):
        hub.faults.add(part, kind="replace", method=None, times=None, status=200, data=data)
        reply = work(code, tmp_path).expect("HubError")
        assert "more lists and objects" in reply.message
        assert "\n" not in reply.message


def entries(hub: HubServer, **changes: object) -> bytes:
    files = hub.repo(REPO).resolve().files
    found = []
    for name, blob in files.items():
        entry = {"type": "file", "oid": blob.git_oid, "size": len(blob.content), "path": name}
        if blob.lfs:
            entry["lfs"] = {"oid": blob.etag, "size": len(blob.content)}
        found.append(entry | (changes if name == "config.json" else {}))
    return json.dumps(found).encode()


@pytest.mark.parametrize("size", [5 << 30, 2**62, 4 << 20 | 1])
def test_a_giant_declared_size_is_not_asked_for(hub, work, tmp_path, size):
    data = entries(hub, size=size)
    hub.faults.add("/paths-info/", kind="replace", method="POST", times=None, status=200, data=data)
    reply = work(LOAD, tmp_path)
    assert reply.error == "IntegrityError", reply.message
    assert not hub.requests("GET", "/config.json")


@pytest.mark.parametrize("change", [{"size": 0}, {"size": 3}, {"oid": "1" * 40}])
def test_a_listing_that_does_not_fit_the_file(hub, work, tmp_path, change):
    data = entries(hub, **change)
    hub.faults.add("/paths-info/", kind="replace", method="POST", times=None, status=200, data=data)
    reply = work(LOAD, tmp_path)
    assert reply.error in ("IntegrityError", "HubError", "CheckpointError"), reply.message
    assert "\n" not in reply.message
    assert not list(tmp_path.rglob("*.incomplete"))
    hub.faults.clear()
    assert len(work(LOAD, tmp_path).expect().answer["items"]) == 20


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-9/99"},
        {"Content-Range": "bytes 999999999999-9/*"},
        {"Content-Range": "x"},
        {},
    ],
)
def test_a_part_that_was_not_asked_for(hub, work, tmp_path, headers):
    """The rest of a file that was cut off: other bytes than asked for make it be fetched again."""
    hub.faults.add("/model.safetensors", kind="truncate", after=100)
    hub.faults.add(
        "/model.safetensors", kind="replace", times=1, status=206, headers=headers, data=b"x" * 50
    )
    reply = work(LOAD, tmp_path)
    assert reply.error in (None, "IntegrityError", "HubError"), reply.message
    hub.faults.clear()
    assert len(work(LOAD, tmp_path).expect().answer["items"]) == 20


@pytest.mark.parametrize(
    "name", ["../../x", "a/../../b", "/etc/passwd", "\x1b[31m", "refs/heads/x", "."]
)
def test_names_of_branches_and_tags_lead_nowhere(hub, push, tmp_path, name):
    reference = {"name": name, "ref": f"refs/tags/{name}", "targetCommit": "0" * 40}
    data = json.dumps({"branches": [reference], "tags": [reference]}).encode()
    hub.faults.add("/refs", kind="replace", times=None, status=200, data=data)
    code, said = push()
    assert code in (0, 2)
    assert not list(tmp_path.rglob("passwd"))
    assert "\x1b[31m" not in str(said)


def test_links_in_the_cache_do_not_lead_out(hub, work, tmp_path):
    """Somebody who can write the cache makes a link of a file: it is not followed out of it."""
    assert work(LOAD, tmp_path).error is None
    secret = tmp_path / "secret"
    secret.write_bytes(b"{}")
    for path in tmp_path.rglob("snapshots/*/vocabulary.json"):
        path.unlink()
        path.symlink_to(secret)
    reply = work(LOAD, tmp_path)
    assert reply.error in (None, "CheckpointError", "IntegrityError"), reply.message
    assert secret.read_bytes() == b"{}"
