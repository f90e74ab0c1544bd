"""Fetching checkpoints with the real client from a Hub on this machine, faults included."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel

from . import client
from .server import HubServer

REPO = "org/shop"
LOAD = "answer['items'] = list(seqzoo.load({!r}).vocabulary.items)"
NAMES = ("config.json", "model.safetensors", "vocabulary.json", "recipe.yaml", "metrics.json")
METRICS = {
    protocol: {
        "metrics": {"hit@10": 0.25, "ndcg@10": 0.125, "mrr@10": 0.1},
        "data": {"name": "toy", "fingerprint": "f" * 16},
        "users": 12,
        "items": 20,
    }
    for protocol in ("loo-full", "loo-full-unseen")
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def models(place) -> list[Path]:
    """Two checkpoints that differ in everything but their shapes."""
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        items = [f"item-{seed}-{index}" for index in range(20)]
        model = SequenceModel.build(
            "sasrec", {"hidden_size": 16, "max_length": 10}, Vocabulary(items)
        )
        folders.append(place / f"model-{seed}")
        recipe = {"architecture": "sasrec", "data": {"source": "toy"}, "seed": seed}
        metrics = {name: {**entry, "seed": seed} for name, entry in METRICS.items()}
        save_model(folders[-1], model, recipe=recipe, metrics=metrics)
    return folders


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def hub(server, models) -> Iterator[HubServer]:
    """The server with the first model in one repository, and nothing going wrong."""
    server.store.repos.clear()
    server.faults.clear()
    server.add_repo(REPO, contents(models[0]), tag="v1")
    server.clear_log()
    yield server
    server.faults.clear()


def test_a_commit_is_fetched_once_and_then_needs_no_hub(hub, work, tmp_path):
    name = f"hf://{REPO}@{hub.head(REPO)}"
    first = work(LOAD.format(name), tmp_path).expect()
    assert first.answer["items"][0] == "item-0-0"
    assert set(hub.transfers(REPO)) == {*NAMES, "README.md"}
    assert all(count.whole == 1 for count in hub.transfers(REPO).values())
    hub.clear_log()
    for offline in (False, True):
        assert work(LOAD.format(name), tmp_path, offline=offline).expect().answer == first.answer
    assert hub.log == []


def test_a_tag_and_a_branch_are_resolved_and_reported(hub, work, tmp_path, models):
    commit = hub.head(REPO)
    for name in (f"hf://{REPO}", f"hf://{REPO}@v1", f"hf://{REPO}@main"):
        reply = work(LOAD.format(name), tmp_path).expect()
        assert f"{name} is commit {commit}" in reply.log
    newer = hub.commit(REPO, contents(models[1]))
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect()
    assert f"hf://{REPO} is commit {newer}" in reply.log
    assert reply.answer["items"][0] == "item-1-0"
    assert work(LOAD.format(f"hf://{REPO}@v1"), tmp_path).answer["items"][0] == "item-0-0"
    # Offline, each means what it last meant.
    hub.commit(REPO, {"notes.txt": "newer still"})
    hub.clear_log()
    for name, commit_then in ((f"hf://{REPO}", newer), (f"hf://{REPO}@v1", commit)):
        reply = work(LOAD.format(name), tmp_path, offline=True).expect()
        assert f"{name} is commit {commit_then}" in reply.log
    assert hub.log == []


def test_only_the_files_of_a_checkpoint_are_asked_for(hub, work, tmp_path):
    pickled = b"\x80\x04cos\nsystem\n(S'true'\ntR."
    hub.commit(REPO, {"pytorch_model.bin": pickled, "../../escape": b"x", "code.py": b"1/0"})
    work(LOAD.format(f"hf://{REPO}"), tmp_path).expect()
    assert set(hub.transfers(REPO)) == {*NAMES, "README.md"}
    assert not [path for path in tmp_path.rglob("*") if path.name in ("escape", "code.py")]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_in_the_cache_is_fetched_again(hub, work, tmp_path, name):
    address = f"hf://{REPO}@{hub.head(REPO)}"
    work(LOAD.format(address), tmp_path).expect()
    path = next(tmp_path.rglob(f"snapshots/*/{name}"))
    sound = path.read_bytes()
    for damaged in (sound[:-7], sound[:9] + bytes([sound[9] ^ 1]) + sound[10:], b""):
        path.resolve().write_bytes(damaged)
        offline = work(LOAD.format(address), tmp_path, offline=True)
        assert offline.error in ("CheckpointError", "IntegrityError"), offline.message
        reply = work(LOAD.format(address), tmp_path).expect()
        assert any(f"{name} is damaged and is fetched again" in line for line in reply.log)
        assert path.read_bytes() == sound


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["wrong-bytes", "truncate", "reset", "status", "hang-up"])
def test_what_goes_wrong_once_is_mended(hub, work, tmp_path, name, kind):
    hub.faults.add(f"/resolve/{hub.head(REPO)}/{name}", kind=kind, status=503)
    reply = work(LOAD.format(f"hf://{REPO}@{hub.head(REPO)}"), tmp_path)
    if reply.error is not None:
        # What the client does not try again is an error, and the next call works.
        assert reply.error in ("HubError", "CheckpointError", "IntegrityError"), reply.message
        reply = work(LOAD.format(f"hf://{REPO}@{hub.head(REPO)}"), tmp_path).expect()
    assert reply.answer["items"][0] == "item-0-0"


@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_stay_wrong_are_never_a_model(hub, work, tmp_path, models, name):
    size = len(contents(models[0])[name])
    for at in (0, size // 3, size - 1):
        hub.faults.clear()
        hub.faults.add(f"/{name}", kind="wrong-bytes", at=at, times=None)
        reply = work(LOAD.format(f"hf://{REPO}"), tmp_path / str(at))
        assert reply.error in ("CheckpointError", "IntegrityError"), reply.message
        assert name in reply.message
        again = work(LOAD.format(f"hf://{REPO}"), tmp_path / str(at))
        assert again.error == reply.error


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_model_is_refused(hub, work, tmp_path, models, name):
    hub.commit(REPO, {name: contents(models[1])[name]})
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path)
    assert reply.error in ("CheckpointError", "IntegrityError"), reply.message


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(hub, work, tmp_path, name):
    hub.commit(REPO, {name: None})
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("CheckpointError")
    assert f"has no {name}" in reply.message


def test_a_file_that_is_larger_than_it_may_be_is_not_fetched(hub, work, tmp_path):
    hub.commit(REPO, {"config.json": b"[" * 5_000_000})
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("IntegrityError")
    assert "config.json has 5000000 bytes" in reply.message
    assert hub.transfers(REPO) == {}
    hub.commit(REPO, {"config.json": b"[" * 100_000})
    reply = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("CheckpointError")
    assert "is not the JSON that seqzoo writes" in reply.message


def test_the_hub_asks_to_wait(hub, work, tmp_path):
    hub.faults.add("/resolve/", kind="status", method=None, status=429, retry_after=0.1)
    reply = work(LOAD.format(f"hf://{REPO}@{hub.head(REPO)}"), tmp_path)
    if reply.error is not None:
        assert "asks to wait" in reply.expect("HubError").message
        work(LOAD.format(f"hf://{REPO}@{hub.head(REPO)}"), tmp_path).expect()


def test_refusals_say_what_to_do(hub, work, tmp_path):
    hub.add_repo("org/secret", private=True)
    hub.add_repo("org/gated", {"config.json": "{}"})
    gate = {"status": 403, "error_code": "GatedRepo", "method": None, "times": None}
    hub.faults.add("org/gated", kind="status", **gate)
    hub.add_repo("org/other", {"model.bin": b"x"})
    for name, fragments in {
        "hf://org/missing": ("no repository org/missing", "seqzoo list --hub"),
        f"hf://{REPO}@v9": ("has no such revision",),
        "hf://org/gated": ("gated",),
        "hf://org/other": ("has no config.json",),
    }.items():
        reply = work(LOAD.format(name), tmp_path)
        assert reply.error in ("HubError", "CheckpointError"), reply.message
        for fragment in fragments:
            assert fragment in reply.message
        assert "\n" not in reply.message
        code = work(f"answer['code'] = run(['recommend', {name!r}, '--history', '1'])", tmp_path)
        assert code.answer["code"] == 2
        assert code.err.count("\n") == 1
        assert "Traceback" not in code.err
    never = work(LOAD.format("hf://org/never@" + "0" * 40), tmp_path, offline=True)
    assert "HF_HUB_OFFLINE" in never.expect("HubError").message


def test_the_token_is_never_shown(hub, work, tmp_path):
    hub.faults.add("/api/", kind="status", method=None, times=None, message="bad hf_test_write!")
    reply = work(f"answer['code'] = run(['pull', 'hf://{REPO}'])", tmp_path)
    assert reply.answer["code"] == 2
    assert "hf_test_write" not in reply.err + reply.out
    assert hub.log[-1].authorization


def test_a_registered_name_is_pinned(hub, work, tmp_path, models):
    commit = hub.head(REPO)
    register = """
    from seqzoo.plugins import catalogue
    from seqzoo.specs import PretrainedSpec
    catalogue().pretrained._specs.pop("shop", None)
    catalogue().pretrained.add(PretrainedSpec("shop", "test", {repo!r}, {commit!r}, {sha256!r}))
    answer["items"] = list(seqzoo.load("shop").vocabulary.items)
    """
    sha256 = work(
        f"from seqzoo.checkpoint.pull import pull_checkpoint as pull; answer['s'] = pull('hf://{REPO}').sha256",
        tmp_path,
    ).answer["s"]
    hub.commit(REPO, contents(models[1]))
    good = work(register.format(repo=REPO, commit=commit, sha256=sha256), tmp_path / "new")
    assert good.expect().answer["items"][0] == "item-0-0"
    hub.clear_log()
    work("seqzoo.load('shop')", tmp_path / "new").expect()
    assert hub.log == []
    newer = register.format(repo=REPO, commit=hub.head(REPO), sha256=sha256)
    assert "registered" in work(newer, tmp_path).expect("IntegrityError").message


def test_a_copy_is_a_checkpoint_of_its_own(hub, work, tmp_path):
    target = tmp_path / "models" / "shop"
    code = f"answer['code'] = run(['pull', 'hf://{REPO}@v1', '--to', {str(target)!r}, '--json'])"
    reply = work(code, tmp_path / "cache").expect()
    assert reply.answer["code"] == 0, reply.err
    assert f'"commit": "{hub.head(REPO)}"' in reply.out
    assert not any(path.is_symlink() for path in target.iterdir())
    assert work(LOAD.format(str(target)), tmp_path).expect().answer["items"][0] == "item-0-0"
    assert work(code, tmp_path / "cache").answer["code"] == 0
    work(f"answer['code'] = run(['verify', {str(target)!r}])", tmp_path).expect()
    (target / "metrics.json").write_bytes(b"{}")
    failed = work(f"answer['code'] = run(['verify', {str(target)!r}])", tmp_path)
    assert failed.answer["code"] != 0


def test_a_damaged_copy_is_mended_and_its_card_stays(hub, work, tmp_path):
    target = tmp_path / "shop"
    code = f"answer['code'] = run(['pull', 'hf://{REPO}@v1', '--to', {str(target)!r}])"
    work(code, tmp_path).expect()
    card = (target / "README.md").read_text() + "\nMy notes.\n"
    (target / "README.md").write_text(card)
    (target / "metrics.json").write_bytes(b"{}")
    (target / "vocabulary.json").unlink()
    assert work(code, tmp_path).expect().answer["code"] == 0
    assert (target / "README.md").read_text() == card
    assert work(LOAD.format(str(target)), tmp_path).expect().answer["items"][0] == "item-0-0"


@pytest.mark.parametrize("name", ["README.md", "metrics.json", "curve.png", "config.json"])
def test_a_copy_goes_over_nothing_of_the_users(hub, work, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("{}")
    code = f"answer['code'] = run(['pull', 'hf://{REPO}@v1', '--to', {str(tmp_path / 'mine')!r}])"
    reply = work(code, tmp_path).expect()
    assert reply.answer["code"] == 2
    assert reply.err.count("\n") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]
    assert (tmp_path / "mine" / name).read_text() == "{}"


def test_the_picture_comes_along_and_nothing_depends_on_it(hub, work, tmp_path):
    hub.commit(REPO, {"curve.png": b"picture"})
    code = f"answer['code'] = run(['pull', 'hf://{REPO}', '--to', {{!r}}])"
    work(code.format(str(tmp_path / "copy")), tmp_path / "a").expect()
    assert (tmp_path / "copy" / "curve.png").read_bytes() == b"picture"
    for kind in ("status", "hang-up"):
        hub.faults.clear()
        for name in ("curve.png", "README.md"):
            hub.faults.add(f"/{name}", kind=kind, method=None, times=None, status=403)
        reply = work(LOAD.format(f"hf://{REPO}"), tmp_path / kind).expect()
        for name in ("curve.png", "README.md"):
            assert any(f"{name} was not fetched" in line for line in reply.log)


@pytest.mark.parametrize("status", [503, 429, 404])
def test_a_branch_is_never_taken_for_what_it_was(hub, work, tmp_path, models, status):
    """What the cache remembers of a branch is used offline only."""
    work(LOAD.format(f"hf://{REPO}"), tmp_path).expect()
    newer = hub.commit(REPO, contents(models[1]))
    hub.faults.add(f"/api/models/{REPO}?", kind="status", status=status, times=None)
    message = work(LOAD.format(f"hf://{REPO}"), tmp_path).expect("HubError").message
    assert str(status) in message
    hub.faults.clear()
    # The answer of another address than the commit's is never used.
    hub.faults.add("/resolve/main", kind="status", method=None, status=status, times=None)
    assert f"hf://{REPO} is commit {newer}" in work(LOAD.format(f"hf://{REPO}"), tmp_path).log
    hub.faults.clear()
    assert work(LOAD.format(f"hf://{REPO}"), tmp_path).expect().answer["items"][0] == "item-1-0"


def test_blobs_that_all_repositories_share(hub, work, tmp_path):
    """Files that came through Xet lie in ``blobs/ab/`` of the cache, behind a second link."""
    name = f"hf://{REPO}@{hub.head(REPO)}"
    work(LOAD.format(name), tmp_path).expect()
    (weights,) = tmp_path.rglob("snapshots/*/model.safetensors")
    repository = weights.parents[2]
    shared = repository.parent / "blobs" / "ab" / "abcdef"
    shared.parent.mkdir(parents=True)
    blob = weights.resolve()
    blob.rename(shared)
    blob.symlink_to(shared)
    hub.clear_log()
    assert work(LOAD.format(name), tmp_path).expect().answer["items"][0] == "item-0-0"
    # A cache whose blobs were moved to another disk.
    (repository / "blobs").rename(tmp_path / "disk")
    (repository / "blobs").symlink_to(tmp_path / "disk")
    assert work(LOAD.format(name), tmp_path).expect().answer["items"][0] == "item-0-0"
    assert hub.log == []
    # Anything else outside is still refused.
    secret = tmp_path / "secret"
    secret.write_bytes(shared.read_bytes())
    blob = tmp_path / "disk" / blob.name
    blob.unlink()
    blob.symlink_to(secret)
    assert "is a link out of" in work(LOAD.format(name), tmp_path).expect("CheckpointError").message


@pytest.mark.parametrize("address", ["hf://a", "hf://a/b/c", "hf://../b", "hf://a/b@../../x"])
def test_names_that_climb_are_refused(work, tmp_path, address):
    assert "expected" in work(LOAD.format(address), tmp_path).expect("UsageError").message


PULL = (
    "from seqzoo.checkpoint.pull import pull_checkpoint; "
    "answer['sha256'] = pull_checkpoint({!r}).sha256"
)


def test_eight_processes_fetch_into_one_cache(hub, tmp_path):
    env = client.client_environment(hub.url, tmp_path)
    name = f"hf://{REPO}@{hub.head(REPO)}"
    running = [client.start_client(PULL.format(name), env) for _ in range(8)]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    for count in hub.transfers(REPO).values():
        assert count.whole + count.partial <= 8
    hub.clear_log()
    assert client.run_client(PULL.format(name), {**env, "HF_HUB_OFFLINE": "1"})["sha256"]
    assert hub.log == []


def killed(hub: HubServer, tmp_path: Path, times: int) -> None:
    """Kill pulls at random moments; each next one works and finds the model whole."""
    env = client.client_environment(hub.url, tmp_path / "home")
    name = f"hf://{REPO}@{hub.head(REPO)}"
    draw = random.Random(1)
    whole = "import time; start = time.perf_counter(); " + PULL
    whole += "; answer['seconds'] = time.perf_counter() - start"
    lasts = client.run_client(
        whole.format(name), client.client_environment(hub.url, tmp_path / "first")
    )["seconds"]
    for turn in range(times):
        hub.faults.clear()
        hub.faults.add("model.safetensors", kind="slow", chunk=2048, seconds=0.02, times=None)
        home = {**env, "HF_HOME": str(tmp_path / f"home-{turn}")}
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"print('on', flush=True); {'answer = {}; ' + PULL.format(name)}",
            ],
            env=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(draw.uniform(0.0, 2.0 * lasts + 1.0))
        process.kill()
        process.wait()
        process.stdout.close()
        hub.faults.clear()
        assert client.run_client(PULL.format(name), home)["sha256"]


def test_a_killed_pull_leaves_nothing_that_is_taken_for_whole(hub, tmp_path):
    killed(hub, tmp_path, 4)


@pytest.mark.slow
def test_twenty_killed_pulls(hub, tmp_path):
    killed(hub, tmp_path, 20)
