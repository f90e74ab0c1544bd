"""Publishing checkpoints with the real client to a Hub on this machine."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from seqzoo.checkpoint.eval_results import EVAL_RESULTS
from seqzoo.training.loop import train

from . import client
from .conftest import HAND, PNG, PUSH
from .server import HubServer

REPO = "org/shop"
FILES = {
    "README.md",
    "config.json",
    "metrics.json",
    "model.safetensors",
    "recipe.yaml",
    "vocabulary.json",
}


@pytest.fixture
def hub(emptied_hub) -> HubServer:
    return emptied_hub


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small run, from the command that users have."""
    out = tmp_path_factory.mktemp("run") / "run"
    options = {"users": 60, "items": 30, "mean_length": 12}
    recipe = {
        "architecture": "gru4rec",
        "model": {"hidden_size": 8, "gru_size": 8, "max_length": 10},
        "data": {"source": "synthetic", "options": options, "min_count": 1},
        "train": {"epochs": 1},
    }
    train(recipe, out)
    return out


def commits(hub: HubServer) -> int:
    return len(hub.repo(REPO).history())


def test_the_journey_from_a_run_to_another_machine(hub, tmp_path, trained):
    """Push; with an empty cache in another process the same scores, metrics and no request."""
    env = client.client_environment(hub.url, tmp_path / "here")
    score = """
    import seqzoo, torch
    model = seqzoo.load({!r})
    vectors = model.encode([list(model.vocabulary.items[:5])])
    answer["scores"] = model.head(vectors).detach().tolist()
    """
    first = client.run_client(
        f"import seqzoo\ndone = seqzoo.push({str(trained)!r}, 'org/shop', tag='v1')\n"
        "answer |= {'commit': done.address.revision, 'line': done.registry_line}",
        env,
    )
    scores = client.run_client(score.format(str(trained)), env)["scores"]
    assert set(hub.files(REPO)) == FILES | {".gitattributes", EVAL_RESULTS}
    assert first["commit"] == hub.head(REPO) == hub.head(REPO, "v1")
    assert first["line"].startswith(f'zoo.pretrained("shop", repo="{REPO}", revision="')

    there = client.client_environment(hub.url, tmp_path / "there", token=None)
    address = f"hf://{REPO}@{first['commit']}"
    assert client.run_client(score.format(address), there)["scores"] == scores
    hub.clear_log()
    offline = {**there, "HF_HUB_OFFLINE": "1"}
    code = score.format(address) + (
        "\n    from seqzoo.cli.app import run"
        f"\n    answer['code'] = run(['eval', {address!r}, '--quiet'])"
        f"\n    answer['verified'] = run(['verify', {address!r}, '--eval'])"
    )
    again = client.run_client(code, offline)
    assert again["scores"] == scores
    assert (again["code"], again["verified"]) == (0, 0), again["stderr"]
    assert hub.log == []


def test_without_changes_there_is_no_commit(hub, push, folder):
    code, first = push()
    assert code == 0
    assert first["committed"]
    assert set(first["changed"]) == FILES
    assert commits(hub) == 2
    assert first["commit"] == hub.head(REPO)
    for _ in range(2):
        code, again = push()
        assert (code, again["committed"], again["changed"]) == (0, False, [])
        assert again["commit"] == first["commit"]
    assert commits(hub) == 2
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMy words.\n")
    code, more = push()
    assert more["changed"] == ["README.md"]
    assert "My words." in hub.files(REPO)["README.md"].decode()


def test_a_dry_run_writes_nothing(hub, push):
    code, planned = push("--dry-run", "--revision", "trial")
    assert code == 0
    assert planned["commit"] is None
    assert set(planned["changed"]) == FILES
    assert not hub.store.repos
    assert not [entry for entry in hub.log if entry.method == "POST" and "paths" not in entry.path]
    push()
    hub.clear_log()
    code, planned = push("--dry-run", "--revision", "trial")
    assert (code, planned["changed"], planned["commit"]) == (0, [], hub.head(REPO))
    assert "trial" not in hub.repo(REPO).branches


def test_private_branch_pull_request_and_tags(hub, push, folder):
    code, done = push("--private", "--tag", "v1")
    assert (code, done["tag"]) == (0, "v1")
    assert hub.repo(REPO).private
    assert hub.head(REPO, "v1") == done["commit"]
    assert push("--tag", "v1")[0] == 0
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMore.\n")
    code, message = push("--tag", "v1")
    assert code == 2
    assert "choose another tag" in message
    assert commits(hub) == 2
    code, branched = push("--revision", "next", "--tag", "v2")
    assert branched["commit"] == hub.head(REPO, "next") == hub.head(REPO, "v2")
    assert hub.head(REPO) == done["commit"]
    code, proposed = push("--create-pr")
    assert proposed["pull_request"]
    assert hub.head(REPO) == done["commit"]
    assert push("--create-pr", "--tag", "v3")[0] == 2


def test_what_others_did_in_the_meantime_is_not_overwritten(hub, push, folder):
    push()
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMore.\n")
    hub.faults.add("/commit/", kind="status", method="POST", status=412, message="A commit ...")
    code, message = push()
    assert code == 2
    assert "has changed in the meantime" in message
    assert push()[0] == 0


RACE = """
from huggingface_hub import HfApi, CommitOperationAdd
first = HfApi.{0}
def late(self, *words, **options):
    HfApi.{0} = first
    HfApi().create_repo("org/shop", exist_ok=True)
    HfApi().create_commit("org/shop", [CommitOperationAdd({1!r}, {2!r})], commit_message="late")
    return first(self, *words, **options)
HfApi.{0} = late
try:
    done = seqzoo.push({3!r}, "org/shop", revision={4!r})
finally:
    HfApi.{0} = first
answer |= {{"changed": done.changed, "commit": done.commit}}
"""


def test_a_new_branch_begins_at_what_was_compared(hub, push, work, folder, tmp_path):
    push()
    before = hub.head(REPO)
    config = hub.files(REPO)["config.json"]
    (folder / "curve.png").write_bytes(PNG)
    race = RACE.format("create_branch", "config.json", b"{}", str(folder), "next")
    done = work(race, tmp_path / "cache").expect().answer
    assert hub.files(REPO)["config.json"] == b"{}"
    assert hub.files(REPO, "next")["config.json"] == config
    made, base = hub.repo(REPO).history("next")[:2]
    assert (made.id, base.id) == (done["commit"], before)


def test_a_repository_that_others_make_first_is_compared_again(hub, work, folder, tmp_path):
    race = RACE.format("create_repo", "README.md", HAND.encode(), str(folder), None)
    assert "README.md" in work(race, tmp_path / "cache").expect().answer["changed"]
    card = hub.files(REPO)["README.md"].decode()
    assert ("Written on the web." in card, "seqzoo:generated" in card) == (True, True)


def test_impossible_options_send_nothing(hub, push):
    def refused(*words):
        code, message = push(*words)
        assert (code, message.count("\n")) == (2, 1), message
        return message

    for tag in (
        "",
        "a b",
        "../x",
        "-x",
        "a\nb",
        "refs/heads/z",
        "v1/",
        "v.lock",
        "0" * 40,
        "F" * 40,
    ):
        assert "cannot be a tag" in refused("--tag", tag)
    assert "is a branch" in refused("--tag", "main")
    assert "is a branch" in refused("--revision", "next", "--tag", "next")
    assert "no repository org/shop to propose" in refused("--create-pr")
    assert "is not a branch" in refused("--revision", "refs/pr/1")
    assert not hub.store.repos
    assert push("--public", "--tag", "v1")[0] == 0
    hub.repo(REPO).branches["old"] = hub.head(REPO)
    state = (commits(hub), dict(hub.repo(REPO).tags), dict(hub.repo(REPO).branches))
    assert "org/shop is public" in refused("--private")
    assert "is a branch" in refused("--tag", "old")
    assert "no branch next" in refused("--create-pr", "--revision", "next", "--dry-run")
    assert "v1 is a tag; give a branch" in refused("--revision", "v1")
    assert state == (commits(hub), hub.repo(REPO).tags, hub.repo(REPO).branches)
    hub.repo(REPO).private = True
    assert "org/shop is private" in refused("--public")
    assert push("--private", "--revision", "old", "--create-pr")[0] == 0


def test_the_help_says_that_proposals_pile_up(work, tmp_path):
    text = work("run(['push', '--help'])", tmp_path).expect().out
    assert "Open a new pull request instead of" in " ".join(text.replace("│", " ").split())


def test_offline_and_out_of_reach(hub, work, folder, tmp_path):
    code = PUSH.format(str(folder), [])
    message = work(code, tmp_path, offline=True).expect().err
    assert "HF_HUB_OFFLINE is set" in message
    assert "seqzoo pull" not in message
    hub.faults.add("/api/models/", kind="hang-up", method=None, times=None)
    message = work(code, tmp_path).expect().err
    assert "try again" in message
    assert "HF_HUB_OFFLINE" not in message


def test_a_damaged_checkpoint_is_not_published(hub, push, folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    code, message = push()
    assert code == 2
    assert "sha256" in message
    assert not hub.store.repos


@pytest.mark.parametrize(("token", "words"), [(None, "log in"), ("hf_test_read", "log in")])
def test_without_the_right_to_write(hub, folder, tmp_path, token, words):
    env = client.client_environment(hub.url, tmp_path / "home", token=token)
    code = (
        "from seqzoo.cli.app import run\n"
        f"answer['code'] = run(['push', {str(folder)!r}, 'org/shop'])"
    )
    reply = client.run_client(code, env)
    assert reply["code"] == 2
    assert words in reply["stderr"]
    assert "hf_test" not in reply["stderr"]
    assert "Traceback" not in reply["stderr"]


@pytest.mark.parametrize("repo", ["shop", "org/", "org/shop@x", "../shop", "a/b/c", "org/.shop"])
def test_invalid_names_of_repositories(hub, work, folder, tmp_path, repo):
    reply = work(f"seqzoo.push({str(folder)!r}, {repo!r}, revision='x')", tmp_path)
    assert reply.error == "UsageError", reply.message
    assert hub.log == []


def test_with_xet_switched_on(hub, folder, tmp_path):
    """A Hub that takes every file in the commit itself needs no Xet; nothing is asked of one."""
    hub.upload_mode = "regular"
    try:
        env = client.client_environment(hub.url, tmp_path / "home", xet=True)
        code = f"import seqzoo\nseqzoo.push({str(folder)!r}, 'org/shop')"
        client.run_client(code, env)
        assert set(hub.files(REPO)) >= FILES
    finally:
        hub.upload_mode = None


def test_the_card_is_one_that_the_hub_takes(hub, push, trained):
    code, _ = push(of=trained)
    assert code == 0
    # The server has read it on upload as the Hub does; here the client's own classes read it.
    assert hub.requests("POST", "/api/validate-yaml")
    card = ModelCard(hub.files(REPO)["README.md"].decode())
    data = card.data.to_dict()
    assert data["library_name"] == "seqzoo"
    assert {"seqzoo", "sequential-recommendation", "gru4rec"} <= set(data["tags"])
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "shop"
    assert {result.dataset_config for result in results} == {"loo-full", "loo-full-unseen"}
    stored = json.loads((trained / "metrics.json").read_text())
    for result in results:
        metrics = stored[result.dataset_config]["metrics"]
        assert result.metric_value == metrics[result.metric_type]
    assert "hf://org/shop" in card.text
    assert "seqzoo eval" in card.text


def test_models_with_our_tag_are_listed(hub, push, work, tmp_path):
    push()
    hub.add_repo("org/other", {"README.md": "---\ntags: [other]\n---\n"})
    hub.add_repo("them/theirs", {"README.md": "---\ntags: [seqzoo, sasrec]\n---\n"})
    code = "answer['code'] = run(['list', '--hub', '--json', *{!r}])"
    everyone = json.loads(work(code.format([]), tmp_path).expect().out)
    assert {row["name"] for row in everyone} == {"hf://org/shop", "hf://them/theirs"}
    assert {row["architecture"] for row in everyone} == {"sasrec"}
    ours = json.loads(work(code.format(["--org", "org"]), tmp_path).expect().out)
    assert [(row["name"], row["commit"]) for row in ours] == [("hf://org/shop", hub.head(REPO))]
    table = work("answer['code'] = run(['list', 'th*', '--hub'])", tmp_path).expect().out
    assert "hf://them/theirs" in table
    assert "hf://org/shop" not in table
    assert work("answer['code'] = run(['list', '--org', 'org'])", tmp_path).answer["code"] == 2
    away = work(code.format([]), tmp_path, offline=True)
    assert away.answer["code"] == 2
    assert "cannot be listed while HF_HUB_OFFLINE is set" in away.err
