"""A hostile endpoint writes nothing outside the cache, and nothing grows or hangs."""

import gzip
import json
import time
from pathlib import Path

import pytest

from .server import HubServer

REPO = "org/shop"
LOAD = "answer['items'] = list(seqzoo.load({!r}).vocabulary.items)"
QUICK = """
from seqzoo.checkpoint.hub import api
usual = api.PATIENCE
api.PATIENCE = {patience}
try:
    seqzoo.load({name!r})
finally:
    api.PATIENCE = usual
"""
LIST = """
from seqzoo.checkpoint.hub.listing import list_hub
answer['names'] = [model.address.repo for model in list_hub()]
"""


@pytest.fixture
def hub(emptied_hub, folder) -> HubServer:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    emptied_hub.add_repo(REPO, files)
    emptied_hub.clear_log()
    return emptied_hub


def outside(cache: Path) -> set[str]:
    """Files next to the cache and above it that were not there before."""
    return {
        path.name for parent in (cache.parent, *cache.parents[1:4]) for path in parent.iterdir()
    }


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag"])
@pytest.mark.parametrize(
    "etag", ["../../../../PWNED", "../../../PWNED", "ABSOLUTE", "a/../../../PWNED"]
)
def test_no_header_names_a_file_of_the_cache(hub, work, tmp_path, header, etag):
    cache = tmp_path / "one" / "two" / "cache"
    cache.mkdir(parents=True)
    etag = str(tmp_path / "PWNED") if etag == "ABSOLUTE" else etag
    for name in ("config.json", "model.safetensors"):
        hub.faults.add(
            name, kind="replace", method=None, times=None, status=200, headers={header: f'"{etag}"'}
        )
    before = outside(cache)
    reply = work(LOAD.format(f"hf://{REPO}"), cache)
    assert outside(cache) == before
    assert not list(tmp_path.rglob("PWNED*"))
    # The header is not used, so the checkpoint is as good as any.
    assert len(reply.expect().answer["items"]) == 20


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocabulary.json"])
def test_a_body_ends_where_the_file_ends(hub, work, tmp_path, name):
    hub.faults.add(f"/{name}", kind="huge", method=None, times=None, extra=64 << 20)
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("HubError")
    assert name in reply.message
    assert "bytes expected" in reply.message
    assert "\n" not in reply.message
    # What lies in the sockets' buffers when the client hangs up.
    assert sum(entry.bytes_sent for entry in hub.log) < 16 << 20
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 20


def test_a_slow_body_is_given_up(hub, work, tmp_path):
    hub.faults.add("/config.json", kind="slow", times=None, chunk=1, seconds=0.05)
    started = time.monotonic()
    reply = work(QUICK.format(patience=1.0, name=f"hf://{REPO}"), tmp_path).expect("HubError")
    assert time.monotonic() - started < 15
    assert "too slowly" in reply.message
    assert "try again" in reply.message


def test_a_connection_that_is_lost_again_and_again_is_given_up(hub, work, tmp_path):
    hub.faults.add("/model.safetensors", kind="truncate", times=None, after=1)
    started = time.monotonic()
    assert work(LOAD.format(f"hf://{REPO}"), tmp_path).error == "HubError"
    assert time.monotonic() - started < 15


def test_a_transfer_resumes_where_it_was_cut(hub, work, tmp_path):
    hub.faults.add("/model.safetensors", kind="truncate", after=100)
    assert len(work(LOAD.format(f"hf://{REPO}"), tmp_path).expect().answer["items"]) == 20
    ranges = [entry.range for entry in hub.requests("GET", "/model.safetensors")]
    assert ranges == [None, "bytes=100-"]


@pytest.mark.parametrize("status", [200, 404, 302])
def test_compressed_bodies_are_refused(hub, work, tmp_path, status):
    bomb = gzip.compress(bytes(50 << 20))
    headers = {"Content-Encoding": "gzip", "Location": "/elsewhere"}
    hub.faults.add(
        "/config.json", kind="replace", times=None, status=status, data=bomb, headers=headers
    )
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path)
    assert reply.error == "HubError", reply.message
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 20


def test_redirects_end(hub, work, tmp_path):
    hub.faults.add(
        "/config.json",
        kind="replace",
        times=None,
        status=302,
        headers={"Location": "/org/shop/resolve/main/config.json"},
    )
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("HubError")
    assert "redirects more than" in reply.message


def entries(hub: HubServer, **changes: object) -> bytes:
    oid = hub.repo(REPO).resolve().files["config.json"].git_oid
    entry = {"type": "file", "oid": oid, "size": 3, "path": "config.json"}
    return json.dumps([entry | changes]).encode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": "x"}, "'[0].size' is 'x', expected a whole number, 0 or more"),
        ({"size": None}, "'[0].size' is None"),
        ({"size": -1}, "'[0].size' is -1"),
        ({"size": 2**70}, "expected a whole number of at most 63 bits"),
        ({"oid": "../../PWNED"}, "'[0].oid' is '../../PWNED', expected 40 hex digits"),
        ({"lfs": {"oid": "/etc/passwd", "size": 3}}, "'[0].lfs.oid' is '/etc/passwd'"),
        ({"path": ["config.json"]}, "'[0].path' is ['config.json'], expected a string"),
        ({"path": "../config.json"}, "has no config.json"),
        ({"type": "directory"}, "has no config.json"),
    ],
)
def test_entries_of_files_are_checked(hub, work, tmp_path, changes, said):
    data = entries(hub, **changes)
    hub.faults.add("/paths-info/", kind="replace", method="POST", times=None, status=200, data=data)
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path)
    assert reply.error in ("HubError", "CheckpointError"), reply.message
    assert said in reply.message
    assert "\n" not in reply.message


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b'{"sha": ' * 900 + b"1" + b"}" * 900,
        b"[]",
        b"null",
        b"<html>please log in</html>",
        b"\xff\xfe",
        b'{"sha": 3}',
        b'{"sha": "main"}',
        b'{"sha": "../../../PWNED"}',
        b"{}",
        b"",
    ],
)
@pytest.mark.parametrize("part", ["?expand", "/paths-info/"])
def test_answers_that_are_not_the_hubs(hub, work, tmp_path, data, part):
    if part == "/paths-info/" and data == b"[]":
        pytest.skip("the list of an empty repository")
    hub.faults.add(part, kind="replace", method=None, times=None, status=200, data=data)
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("HubError")
    assert "the answer of" in reply.message
    assert "check HF_ENDPOINT" in reply.message
    assert "\n" not in reply.message
    assert len(reply.message) < 600


def test_an_endless_answer_is_cut(hub, work, tmp_path):
    hub.faults.add("?expand", kind="huge", times=None, extra=256 << 20)
    assert (
        "bytes expected" in work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("HubError").message
    )
    assert sum(entry.bytes_sent for entry in hub.log) < 64 << 20


def test_the_same_answers_end_no_push(hub, push):
    for part, data in (("?expand", b"[" * 100_000), ("/refs", b'{"branches": [{}]}')):
        hub.faults.clear()
        hub.faults.add(part, kind="replace", method=None, times=None, status=200, data=data)
        code, message = push()
        assert (code, message.count("\n")) == (2, 1)
        assert "the answer of" in message
    hub.faults.clear()
    data = entries(hub, size="x")
    hub.faults.add("/paths-info/", kind="replace", method="POST", times=None, status=200, data=data)
    code, message = push()
    assert (code, "'[0].size' is 'x'" in message) == (2, True)


def test_one_odd_model_hides_no_other(hub, work, tmp_path):
    good = {"id": "a/b", "sha": "0" * 40, "tags": ["seqzoo"]}
    odd = [
        {"id": "x"},
        {**good, "tags": ["a\0"]},
        {**good, "sha": "main"},
        3,
        {**good, "likes": "x"},
    ]
    data = json.dumps([*odd, good]).encode()
    hub.faults.add("/api/models?", kind="replace", times=None, status=200, data=data)
    reply = work(LIST, tmp_path).expect()
    assert reply.answer["names"] == ["a/b"]
    assert sum("left out" in line for line in reply.log) == len(odd)
    for data in (b"{}", b"[" * 100_000):
        hub.faults.clear()
        hub.faults.add("/api/models?", kind="replace", times=None, status=200, data=data)
        assert "the answer of" in work(LIST, tmp_path).expect("HubError").message


def test_pages_on_another_host_are_not_fetched(hub, work, tmp_path):
    headers = {"Link": '<http://evil.example/api/models?cursor=1>; rel="next"'}
    hub.faults.add(
        "/api/models?", kind="replace", times=None, status=200, data=b"[]", headers=headers
    )
    assert "http://evil.example" in work(LIST, tmp_path).expect("HubError").message
