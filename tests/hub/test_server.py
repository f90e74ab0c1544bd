"""The local Hub answers the real client: errors, listings, cards and tokens."""

from .samples import CARD, FILES, downloading, sha256


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


def test_cards(hub, hub_env, run_client, small_files):
    hub.add_repo("org/name")
    found = run_client(
        f"""
        import pathlib, warnings
        from huggingface_hub import HfApi, ModelCard
        text, folder = {CARD!r}, {str(small_files)!r}
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
