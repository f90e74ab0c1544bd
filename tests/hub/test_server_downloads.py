"""The local Hub gives the real client its files, even if something goes wrong."""

import json
import urllib.error
import urllib.request

import pytest

from .client import start_client
from .samples import FILES, downloading, sha256


def test_downloading(hub, hub_env, run_client):
    first = hub.add_repo("org/name", FILES, tag="v1")
    second = hub.commit("org/name", {"config.json": "{}", "notes/one.txt": None})
    found = run_client(
        downloading("""
        answer["by tag"] = [pull("model.safetensors", revision="v1") for _ in range(2)]
        """),
        hub_env(),
    )
    assert found["by tag"] == [sha256(FILES["model.safetensors"])] * 2
    assert [entry.method for entry in hub.log] == ["HEAD", "GET", "HEAD"]
    assert hub.transfers("org/name")["model.safetensors"].whole == 1
    assert hub.transfers("org/name")["model.safetensors"].partial == 0

    # At a commit that is cached nothing is asked.
    hub.clear_log()
    code = downloading(f"""
        answer["by commit"] = pull("model.safetensors", revision={first!r})
        answer["not there"] = failure(pull, "config.json", revision={first!r},
            local_files_only=True)
    """)
    found = run_client(code, hub_env(HF_HUB_OFFLINE="1"))
    assert found["by commit"] == run_client(code, hub_env())["by commit"]
    assert found["not there"]["type"] == "LocalEntryNotFoundError"
    assert hub.log == []

    found = run_client(
        f"""
        import os
        from huggingface_hub import HfApi, ModelCard, snapshot_download
        def listing(folder):
            return sorted(
                os.path.relpath(os.path.join(root, name), folder)
                for root, _, names in os.walk(folder) for name in names)
        folder = snapshot_download("org/name", revision="v1")
        answer["one"] = [os.path.basename(folder), listing(folder)]
        folder = snapshot_download("org/name")
        answer["two"] = [os.path.basename(folder), listing(folder)]
        api = HfApi()
        def check():
            found = api.verify_repo_checksums("org/name", revision={second!r})
            return [found.checked_count, [bad["path"] for bad in found.mismatches]]
        answer["sound"] = check()
        open(folder + "/model.safetensors", "r+b").write(b"!")
        answer["spoiled"] = check()
        answer["card"] = ModelCard.load("org/name").data.to_dict()
        answer["info"] = vars(api.model_info("org/name"))["card_data"].eval_results[0].metric_value
        """,
        hub_env(),
    )
    assert found["one"] == [first, sorted([*FILES, ".gitattributes"])]
    assert found["two"] == [second, sorted({*FILES, ".gitattributes"} - {"notes/one.txt"})]
    assert found["sound"] == [4, []]
    assert found["spoiled"] == [4, ["model.safetensors"]]
    assert found["card"]["library_name"] == "seqzoo"
    assert found["info"] == 0.25
    # Files that did not change were taken from the cache.
    assert "model.safetensors" not in hub.transfers("org/name")
    assert hub.transfers("org/name")["config.json"].whole == 2


def test_a_body_that_ends_early_is_resumed_and_a_reset_is_not(hub, hub_env, run_client):
    # The client keeps what it has in steps of 10 MiB.
    content = bytes(range(256)) * (11 * 4096)
    hub.add_repo("org/name", {"model.safetensors": content})
    hub.faults.add("model.safetensors", kind="truncate", after=10_600_000)
    hub.faults.add("model.safetensors", kind="reset", skip=1)
    found = run_client(
        downloading("""
        answer["resumed"] = pull("model.safetensors")
        answer["reset"] = failure(pull, "model.safetensors", force_download=True)
        answer["left"] = [
            name for _, _, names in os.walk(os.environ["HF_HOME"]) for name in names
            if name.endswith(".incomplete")]
        """),
        hub_env(),
    )
    assert found["resumed"] == sha256(content)
    cut, rest, reset = hub.requests("GET", "/resolve/")
    assert (cut.status, cut.bytes_sent, cut.fault) == (200, 10_600_000, "truncate")
    assert (rest.status, rest.range) == (206, f"bytes={10 << 20}-")
    assert rest.bytes_sent == len(content) - (10 << 20)
    assert (reset.fault, reset.bytes_sent) == ("reset", len(content) // 2)
    assert found["reset"]["type"] == "ReadError"
    assert "OSError" not in found["reset"]["kinds"]
    assert found["left"] == []
    transfers = hub.transfers("org/name")["model.safetensors"]
    assert (transfers.whole, transfers.partial) == (0, 3)


def test_other_faults(hub, hub_env, run_client):
    names = ["busy", "unwell", "down", "wrong", "other", "short", "silent", "slow", "huge", "vast"]
    content = {name: f"{name} ".encode() * 100 for name in names}
    hub.add_repo("org/name", content)
    hub.faults.add("busy", kind="status", status=429, retry_after=0)
    hub.faults.add("unwell", kind="status", status=500, method="HEAD")
    hub.faults.add("down", kind="status", status=503)
    hub.faults.add("wrong", kind="wrong-bytes", at=0)
    hub.faults.add("other", kind="wrong-bytes", data=b"evil")
    hub.faults.add("short", kind="short", after=7)
    hub.faults.add("silent", kind="hang-up")
    hub.faults.add("slow", kind="slow", seconds=0.2, chunk=200)
    hub.faults.add("huge", kind="huge", method=None)
    hub.faults.add("vast", kind="huge", extra=1_000_000)
    found = run_client(
        downloading(f"""
        import concurrent.futures, time
        def attempt(name):
            started, got = time.monotonic(), []
            error = failure(lambda: got.append(pull(name)))
            return name, [got, error, time.monotonic() - started]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer |= dict(pool.map(attempt, {names}))
        """),
        hub_env(),
    )
    right = [name for name in names if found[name][0] == [sha256(content[name])]]
    assert right == ["busy", "unwell", "silent", "slow", "vast"]
    assert "Rate limited" in found["stderr"]
    assert [entry.status for entry in hub.requests("GET", "/busy")] == [429, 200]
    assert [entry.status for entry in hub.requests("HEAD", "/unwell")] == [500, 200]
    assert [entry.status for entry in hub.requests("GET", "/silent")] == [0, 200]
    # A server that is unwell while it sends a file is not asked again.
    assert found["down"][1]["type"] == "HfHubHTTPError"
    assert len(hub.requests("GET", "/down")) == 1
    # The client looks at the size only: wrong bytes of the right length go unnoticed.
    assert found["wrong"][0] == [sha256(b"vrong" + content["wrong"][5:])]
    assert found["other"][0] == [sha256((b"evil" * 200)[: len(content["other"])])]
    assert "Consistency check failed" in found["short"][1]["message"]
    assert found["short"][1]["type"] == "OSError"
    assert found["slow"][2] > 0.4
    assert found["huge"][1]["type"] == "ValueError"
    # It takes all that a server sends, however much it expects.
    assert f"received {len(content['vast']) + 1_000_000} bytes" in found["stderr"]


def test_a_client_in_the_background_and_a_server_that_goes_away(hub, hub_env):
    hub.add_repo("org/name", FILES)
    slow = hub.faults.add("config.json", kind="slow", seconds=0.05, chunk=1)
    client = start_client(downloading("answer['sum'] = pull('config.json')"), hub_env())
    out, err = client.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["sum"] == sha256(FILES["config.json"]), err
    assert slow.fired == 1
    hub.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(hub.url, timeout=2)


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=2-4", 206, b"siz"),
        ("bytes=8-", 206, b" 1}"),
        ("bytes=-3", 206, b" 1}"),
        ("bytes=0-100000", 206, FILES["config.json"]),
        ("bytes=-", 200, FILES["config.json"]),
        ("bytes=11-", 416, b""),
    ],
)
def test_ranges(hub, asked, status, expected):
    hub.add_repo("org/name", FILES)
    address = f"{hub.url}/org/name/resolve/main/config.json"
    request = urllib.request.Request(address, headers={"Range": asked})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            found = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        found = error.code, error.read()
    assert found == (status, expected)


def test_a_fault_with_a_wrong_name_is_refused(hub):
    with pytest.raises(ValueError, match="no fault is called 'explode'"):
        hub.faults.add("x", kind="explode")
