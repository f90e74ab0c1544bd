"""The server, driven by the real client: few processes, because importing the client takes time."""

import hashlib
import json
import struct
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .client import start_client

CARD = """---
license: apache-2.0
library_name: seqzoo
pipeline_tag: other
tags:
- sequential-recommendation
datasets:
- org/movies
model-index:
- name: tiny
  results:
  - task:
      type: sequential-recommendation
    dataset:
      type: org/movies
      name: Movies
    metrics:
    - type: ndcg@10
      value: 0.25
---
# Tiny
"""


def safetensors(values: int = 4, fill: int = 0) -> bytes:
    header = {"weight": {"dtype": "U8", "shape": [values], "data_offsets": [0, values]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes([fill]) * values


FILES = {
    "README.md": CARD.encode(),
    "config.json": b'{"size": 1}',
    "model.safetensors": safetensors(),
    "notes/one.txt": b"one",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "checkpoint"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def downloading(code: str) -> str:
    """Code that may use ``pull(name, **options)``: a file's sha256 after the client fetched it."""
    return textwrap.dedent(
        """
        import hashlib, os
        from huggingface_hub import hf_hub_download

        def pull(name, **options):
            path = hf_hub_download("org/name", name, **options)
            return hashlib.sha256(open(path, "rb").read()).hexdigest()
        """
    ) + textwrap.dedent(code)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_publishing_through_lfs(hub, hub_env, run_client, folder):
    found = run_client(
        f"""
        from huggingface_hub import CommitOperationAdd, HfApi
        api, folder, repo = HfApi(), {str(folder)!r}, "org/name"
        answer["who"] = api.whoami()["name"]
        answer["url"] = api.create_repo(repo, private=True)
        answer["again"] = api.create_repo(repo, exist_ok=True)
        answer["twice"] = failure(api.create_repo, repo)
        answer["first"] = api.model_info(repo).sha
        answer["oid"] = api.upload_folder(repo_id=repo, folder_path=folder).oid
        answer["unchanged"] = api.upload_folder(repo_id=repo, folder_path=folder).oid

        def commit(**options):
            change = CommitOperationAdd("config.json", b"{{}}")
            return api.create_commit(repo, [change], commit_message="change", **options)
        answer["stale"] = failure(commit, parent_commit=answer["first"])
        answer["no branch"] = failure(commit, revision="nowhere")
        answer["pull"] = commit(create_pr=True).pr_url
        api.create_tag(repo, tag="v1", tag_message="one")
        answer["tag again"] = failure(api.create_tag, repo, tag="v1")
        api.create_tag(repo, tag="v1", exist_ok=True)
        api.create_branch(repo, branch="side/way", revision="v1")
        answer["branch again"] = failure(api.create_branch, repo, branch="side/way")
        answer["side"] = commit(revision="side/way", parent_commit=answer["oid"]).oid
        answer["onto the pull"] = commit(revision="refs/pr/1").oid
        answer["out"] = failure(
            api.upload_file, path_or_fileobj=b"x", path_in_repo="a/../../x", repo_id=repo)

        refs = api.list_repo_refs(repo, include_pull_requests=True)
        answer["refs"] = {{
            ref.ref: ref.target_commit for ref in refs.branches + refs.tags + refs.pull_requests
        }}
        info = api.model_info(repo, files_metadata=True, revision="v1")
        answer["files"] = {{
            file.rfilename: [file.size, file.blob_id, file.lfs and file.lfs.sha256]
            for file in info.siblings
        }}
        answer["tree"] = {{
            entry.path: type(entry).__name__ for entry in api.list_repo_tree(repo, recursive=True)
        }}
        answer["top"] = [entry.path for entry in api.list_repo_tree(repo, expand=True)]
        answer["notes"] = [entry.path for entry in api.list_repo_tree(repo, "notes")]
        paths = api.get_paths_info(repo, ["notes", "model.safetensors", "no"], expand=True)
        answer["paths"] = [[path.path, path.last_commit.title] for path in paths]
        answer["commits"] = [commit.title for commit in api.list_repo_commits(repo)]
        answer["resolved"] = api.resolve_revision(repo, revision="v1").resolved
        header = api.get_safetensors_metadata(repo).files_metadata["model.safetensors"]
        answer["shape"] = header.tensors["weight"].shape
        answer["expand"] = vars(api.model_info(repo, expand=["private", "sha"]))

        api.delete_folder("notes", repo)
        api.delete_file("config.json", repo)
        answer["missing"] = failure(api.delete_file, "config.json", repo)
        answer["left"] = api.list_repo_files(repo)
        api.delete_tag(repo, tag="v1")
        api.delete_branch(repo, branch="side/way")
        """,
        hub_env(),
    )
    oid, side = found["oid"], found["side"]
    assert found["who"] == "tester"
    assert found["url"] == found["again"] == f"{hub.url}/org/name"
    assert "409" in found["twice"]["message"]
    assert found["unchanged"] == oid != found["first"]
    assert "412" in found["stale"]["message"]
    assert oid in found["stale"]["message"]
    assert found["no branch"]["type"] == "RevisionNotFoundError"
    assert found["pull"] == f"{hub.url}/org/name/discussions/1"
    assert "409" in found["tag again"]["message"]
    assert "409" in found["branch again"]["message"]
    assert found["out"] is not None
    assert found["refs"] == {
        "refs/heads/main": oid,
        "refs/heads/side/way": side,
        "refs/tags/v1": oid,
        "refs/pr/1": found["onto the pull"],
    }
    weights = FILES["model.safetensors"]
    assert found["files"]["model.safetensors"][::2] == [len(weights), sha256(weights)]
    assert found["files"]["config.json"][::2] == [11, None]
    assert (
        found["files"]["config.json"][1] == hashlib.sha1(b"blob 11\0{" + b'"size": 1}').hexdigest()
    )
    assert set(found["files"]) == {*FILES, ".gitattributes"}
    assert found["tree"] == {
        **dict.fromkeys([*FILES, ".gitattributes"], "RepoFile"),
        "notes": "RepoFolder",
    }
    assert set(found["top"]) == set(found["tree"]) - {"notes/one.txt"}
    assert found["notes"] == ["notes/one.txt"]
    uploaded = "Upload folder using huggingface_hub"
    assert found["paths"] == [["notes", uploaded], ["model.safetensors", uploaded]]
    assert found["commits"] == [uploaded, "initial commit"]
    assert found["resolved"] == oid
    assert found["shape"] == [4]
    assert (found["expand"]["private"], found["expand"]["sha"]) == (True, oid)
    assert found["expand"]["tags"] is None
    assert found["missing"]["type"] == "RemoteEntryNotFoundError"
    assert found["left"] == [".gitattributes", "README.md", "model.safetensors"]

    # Main has the weights once, from one upload without a token.
    assert hub.files("org/name")["model.safetensors"] == weights
    assert hub.repo("org/name").private
    (put,) = hub.requests("PUT")
    assert (put.status, put.authorization) == (200, False)
    assert len(hub.requests("POST", "/commit/main")) == 6  # One stale, one to a pull, one missing.
    assert all(entry.authorization for entry in hub.requests() if entry.method != "PUT")
    assert not hub.requests(match="agent-harnesses")


def test_publishing_in_parts(hub, hub_env, run_client):
    hub.add_repo("org/name")
    hub.part_size = 1000
    content = safetensors(2500)
    run_client(
        f"""
        from huggingface_hub import upload_file
        upload_file(
            path_or_fileobj=bytes.fromhex({content.hex()!r}), path_in_repo="model.safetensors",
            repo_id="org/name")
        """,
        hub_env(),
    )
    assert hub.files("org/name")["model.safetensors"] == content
    assert [entry.status for entry in hub.requests("PUT")] == [200, 200, 200]


def test_publishing_with_xet_on_needs_a_server_without_lfs(hub, hub_env, run_client, folder):
    code = f"""
        from huggingface_hub import HfApi
        api, options = HfApi(), dict(repo_id="org/name", folder_path={str(folder)!r})
        answer["failed"] = failure(api.upload_folder, **options)
        if not answer["failed"]:
            answer["oid"] = [api.upload_folder(**options).oid for _ in range(2)]
            answer["no pull"] = api.upload_folder(**options, create_pr=True).pr_url
            with open(options["folder_path"] + "/config.json", "w") as file:
                file.write("changed")
            answer["stale"] = failure(api.upload_folder, **options, parent_commit="0" * 40)
            pull = api.upload_folder(**options, create_pr=True)
            answer["pull"] = [pull.pr_url, pull.oid]
    """
    first = hub.add_repo("org/name")
    assert run_client(code, hub_env(xet=True))["failed"] is not None
    assert hub.head("org/name") == first
    assert hub.requests("GET", "xet-write-token")[0].status == 404

    hub.upload_mode = "regular"
    found = run_client(code, hub_env(xet=True))
    assert found["oid"] == [hub.head("org/name")] * 2
    assert hub.files("org/name")["model.safetensors"] == FILES["model.safetensors"]
    assert len(hub.repo("org/name").history()) == 2
    assert "412" in found["stale"]["message"]
    # Nothing changed: no pull request. Otherwise it is opened first and then committed to.
    assert found["no pull"] is None
    assert found["pull"] == [
        f"{hub.url}/org/name/discussions/1", hub.head("org/name", "refs/pr/1")
    ]  # fmt: skip
    assert hub.files("org/name", "refs/pr/1")["config.json"] == b"changed"
    assert not hub.requests("PUT")


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


def test_errors(hub, hub_env, run_client):
    hub.add_repo("org/name", FILES)
    hub.add_repo("org/secret", FILES, private=True)
    hub.add_repo("org/gated", FILES, gated=True)
    code = """
        import os
        from huggingface_hub import HfApi, hf_hub_download, snapshot_download, upload_file
        def kind(function, *words, **options):
            error = failure(function, *words, **options)
            return error and error["type"]
        api = HfApi()
        def upload(repo):
            upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
        answer["kinds"] = [
            kind(hf_hub_download, "org/none", "config.json"),
            kind(snapshot_download, "org/none"),
            kind(api.model_info, "org/none"),
            kind(hf_hub_download, "org/name", "config.json", revision="v9"),
            kind(snapshot_download, "org/name", revision="v9"),
            kind(hf_hub_download, "org/name", "none.json"),
            kind(api.list_repo_tree("org/name", "none").__next__),
            kind(hf_hub_download, "org/gated", "config.json"),
            kind(api.model_info, "org/gated"),
            kind(hf_hub_download, "org/secret", "config.json"),
            kind(api.model_info, "org/secret"),
            kind(upload, "org/name"),
            kind(api.create_repo, "org/new"),
        ]
        answer["exists"] = [
            api.repo_exists("org/none"),
            api.revision_exists("org/name", "v9"),
            api.file_exists("org/name", "none.json"),
        ]
        answer["absent"] = [
            name for root, _, names in os.walk(os.environ["HF_HOME"]) for name in names
            if ".no_exist" in root]
    """
    missing, gated = "RepositoryNotFoundError", "GatedRepoError"
    common = [missing] * 3 + ["RevisionNotFoundError"] * 2 + ["RemoteEntryNotFoundError"] * 2
    found = run_client(code, hub_env("reader", token="hf_test_read"))
    assert found["kinds"] == [*common, gated, None, None, None, "HfHubHTTPError", "HfHubHTTPError"]
    assert found["exists"] == [False, False, False]
    assert found["absent"] == ["none.json"]
    assert {entry.status for entry in hub.requests(match="/resolve/main/config.json")} >= {403, 404}
    assert hub.requests("POST")[-1].status == 403

    hub.clear_log()
    found = run_client(code, hub_env("nobody", token=None))
    assert found["kinds"] == [
        *common, gated, None, missing, missing, missing, "HfHubHTTPError"
    ]  # fmt: skip
    assert not any(entry.authorization for entry in hub.log)
    assert {entry.status for entry in hub.requests(match="/org/secret")} == {401}

    hub.repo("org/gated").allowed.add("hf_test_read")
    hub.clear_log()
    found = run_client(
        downloading("""
        answer["allowed"] = failure(hf_hub_download, "org/gated", "config.json")
        answer["unknown"] = failure(pull, "config.json", token="hf_unknown")
        """),
        hub_env("reader", token="hf_test_read"),
    )
    assert found["allowed"] is None
    assert found["unknown"]["type"] == "HfHubHTTPError"
    assert "Invalid credentials" in found["unknown"]["message"]


def test_listing_models(hub, hub_env, run_client):
    for number in range(5):
        hub.add_repo(f"org/tiny-{number}", FILES)
    hub.add_repo("other/tiny", FILES)
    hub.add_repo("other/plain", {"config.json": "{}"})
    hub.add_repo("org/secret", FILES, private=True)
    hub.page_size = 2
    code = """
        from huggingface_hub import HfApi
        def listed(**options):
            return [model.id for model in HfApi().list_models(**options)]
        answer["library"] = listed(filter="seqzoo")
        answer["org"] = listed(filter=["seqzoo", "sequential-recommendation"], author="org")
        answer["search"] = listed(search="TINY-3")
        answer["limit"] = listed(limit=3)
        answer["none"] = listed(filter="nothing")
        (model,) = HfApi().list_models(search="tiny-3", full=True)
        answer["tags"], answer["sha"] = model.tags, model.sha
        answer["library_name"], answer["files"] = model.library_name, len(model.siblings)
        answer["tree"] = len(list(HfApi().list_repo_tree("org/tiny-0", recursive=True)))
    """
    found = run_client(code, hub_env(token=None))
    tiny = [f"org/tiny-{number}" for number in range(5)]
    assert found["library"] == [*tiny, "other/tiny"]
    assert found["org"] == tiny
    assert found["search"] == ["org/tiny-3"]
    assert found["limit"] == tiny[:3]
    assert found["none"] == []
    assert found["sha"] == hub.head("org/tiny-3")
    assert found["library_name"] == "seqzoo"
    assert found["files"] == 5
    assert found["tree"] == 6
    assert {"safetensors", "license:apache-2.0", "dataset:org/movies"} <= set(found["tags"])
    assert len(hub.requests("GET", "filter=seqzoo&cursor")) == 2
    assert run_client(code, hub_env())["org"] == [*tiny, "org/secret"]


def test_cards(hub, hub_env, run_client, folder):
    hub.add_repo("org/name")
    found = run_client(
        f"""
        import pathlib, warnings
        from huggingface_hub import HfApi, ModelCard
        text, folder = {CARD!r}, {str(folder)!r}
        ModelCard(text).validate()
        bad = ["tags: [a", "a: b: c", "- a", "tags: a", "model-index: [{{name: a}}]", "a: &a [*a]"]
        class Raw(ModelCard):
            def __init__(self, content): self.raw = content
            def __str__(self): return self.raw
        answer["bad"] = [failure(Raw(f"---\\n{{yaml}}\\n---\\n").validate) for yaml in bad]
        pathlib.Path(folder, "README.md").write_text("---\\ntags: [a\\n---\\n")
        answer["upload"] = failure(HfApi().upload_folder, repo_id="org/name", folder_path=folder)
        pathlib.Path(folder, "README.md").write_text("# No metadata")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            HfApi().upload_folder(repo_id="org/name", folder_path=folder)
        answer["warnings"] = [str(warning.message) for warning in caught]
        """,
        hub_env(),
    )
    assert [error["type"] for error in found["bad"]] == ["ValueError"] * 6
    assert "YAML metadata is not valid" in found["bad"][0]["message"]
    assert "model-index[0].results" in found["bad"][4]["message"]
    assert found["upload"]["type"] == "ValueError"
    assert "Invalid metadata in README.md" in found["upload"]["message"]
    assert any("empty or missing yaml metadata" in warning for warning in found["warnings"])


def test_the_token_goes_to_the_hub_only(hub, hub_env, run_client):
    hub.add_repo("org/name", FILES, private=True)
    hub.faults.add("model.safetensors", kind="redirect", method=None, times=None)
    hub.faults.add("config.json", kind="redirect", times=None)
    hub.faults.add("README.md", kind="redirect", method=None, times=None, host="127.0.0.1")
    found = run_client(
        downloading("""
        answer["sums"] = [pull(name) for name in ("model.safetensors", "config.json", "README.md")]
        """),
        hub_env(),
    )
    names = ("model.safetensors", "config.json", "README.md")
    assert found["sums"] == [sha256(FILES[name]) for name in names]
    assert {entry.host for entry in hub.log if entry.authorization} == {f"127.0.0.1:{hub.port}"}
    assert [entry.file for entry in hub.requests("GET", "/cdn/") if not entry.authorization] == [
        "model.safetensors",
        "config.json",
    ]
    assert {name: count.whole for name, count in hub.transfers("org/name").items()} == {
        "model.safetensors": 1, "config.json": 1, "README.md": 1
    }  # fmt: skip


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
