"""The local Hub takes what the real client uploads."""

import hashlib

from .samples import FILES, safetensors, sha256


def test_publishing_through_lfs(hub, hub_env, run_client, small_files):
    found = run_client(
        f"""
        from huggingface_hub import CommitOperationAdd, HfApi
        api, folder, repo = HfApi(), {str(small_files)!r}, "org/name"
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


def test_publishing_with_xet_on_needs_a_server_without_lfs(hub, hub_env, run_client, small_files):
    code = f"""
        from huggingface_hub import HfApi
        api, options = HfApi(), dict(repo_id="org/name", folder_path={str(small_files)!r})
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
