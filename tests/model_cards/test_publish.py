"""``tools/publish.py``: from an empty organisation to names that load without their folders."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import seqzoo
from seqzoo.checkpoint.manifest import parse_manifest
from seqzoo.checkpoint.pins_file import Pin, read_pins
from seqzoo.model.save import save_model
from tests.hub.client import client_environment

from .conftest import CARDS, FEW, NAMES

REPOS = {name: f"org/{name.replace('@', '-')}" for name in NAMES}
SCORES = """
import json, sys, seqzoo
answers = {}
for name in sys.argv[1:]:
    model = seqzoo.load(name)
    history = list(model.vocabulary.items[:5])
    found = model.recommend(history, k=10)
    answers[model.architecture + " " + name.rpartition("/")[2]] = [
        [entry.item, entry.score] for entry in found
    ]
print(json.dumps(answers))
"""


def writes(hub):
    """The requests that change something; reading some paths takes a POST too."""
    return [
        f"{entry.method} {entry.path}"
        for entry in hub.log
        if entry.method in ("PUT", "DELETE", "PATCH")
        or (entry.method == "POST" and "/paths-info/" not in entry.path)
    ]


def commits(hub, name):
    """How many commits a repository has after the one that the Hub itself makes."""
    return len(hub.repo(REPOS[name]).history()) - 1


@pytest.fixture
def without_folders(environment, monkeypatch):
    """An environment with seqzoo but without its checkpoints, and these pins."""

    def without_folders(pins: Path):
        made = environment()
        find = "import seqzoo, pathlib; print(pathlib.Path(seqzoo.__file__).parent)"
        package = Path(made.run("-c", find).stdout.strip())
        assert made.home in package.parents
        shutil.rmtree(package / "model_cards")
        assert made.seqzoo("list", "--pretrained", "--json").stdout.strip() == "[]"
        shutil.copy(pins, package / "pins.json")
        return made

    return without_folders


@pytest.mark.parametrize("names", [FEW, pytest.param(NAMES, marks=pytest.mark.slow)])
def test_from_empty_to_loaded(hub, publisher, without_folders, tmp_path, names):
    publish = publisher(names)
    done = publish()
    assert done.returncode == 0, done.stderr
    pins = read_pins(publish.pins)
    assert pins == {
        name: Pin(
            REPOS[name], hub.head(REPOS[name]), parse_manifest(CARDS / name / "config.json").sha256
        )
        for name in names
    }
    machine = without_folders(publish.pins)
    variables = {
        name: value
        for name, value in client_environment(hub.url, tmp_path / "there", token=None).items()
        if name.startswith("HF_")
    }
    hub.clear_log()
    models = json.loads(machine.seqzoo("list", "--pretrained", "--json", **variables).stdout)
    assert sorted(model["name"] for model in models) == sorted(names)
    assert not any(model["bundled"] for model in models)
    assert hub.log == []

    found = json.loads(machine.run("-c", SCORES, *names, **variables).stdout)
    expected = json.loads(machine.run("-c", SCORES, *(CARDS / name for name in names)).stdout)
    assert found == expected
    assert writes(hub) == []
    # A pin is a commit: what is cached needs no request, and so no network.
    hub.clear_log()
    offline = {**variables, "HF_HUB_OFFLINE": "1"}
    assert json.loads(machine.run("-c", SCORES, *names, **offline).stdout) == expected
    machine.run("-c", SCORES, *names, **variables)
    known = json.loads(machine.seqzoo("info", names[0], "--json", **variables).stdout)
    assert known["sha256"] == pins[names[0]].sha256
    assert not known["bundled"]
    pulled = json.loads(machine.seqzoo("pull", names[-1], "--json", **variables).stdout)
    assert pins[names[-1]].revision in json.dumps(pulled)
    assert hub.log == []


def test_a_dry_run_sends_nothing(hub, publisher):
    publish = publisher()
    done = publish("--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(FEW)
    for name, line in zip(FEW, lines, strict=True):
        assert f"{name}: hf://{REPOS[name]} would get model.safetensors" in line
    assert writes(hub) == []
    assert not hub.store.repos
    assert publish.pins.read_text() == "{}\n"


def test_a_second_run_changes_nothing(hub, publisher):
    publish = publisher()
    assert publish().returncode == 0
    pinned = publish.pins.read_bytes()
    hub.clear_log()
    done = publish()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is up to date\n") == len(FEW)
    assert writes(hub) == []
    assert publish.pins.read_bytes() == pinned
    assert [commits(hub, name) for name in FEW] == [1, 1, 1]


def test_only_what_has_changed_is_sent_and_pinned_again(hub, publisher):
    publish = publisher()
    assert publish().returncode == 0
    before = read_pins(publish.pins)
    card = publish.cards / FEW[1] / "README.md"
    card.write_text(card.read_text("utf-8") + "\nMore about it.\n", "utf-8")
    done = publish()
    assert f"{FEW[1]}: hf://{REPOS[FEW[1]]}@" in done.stdout
    assert done.stdout.count("got README.md\n") == 1
    after = read_pins(publish.pins)
    assert after[FEW[1]].revision == hub.head(REPOS[FEW[1]]) != before[FEW[1]].revision
    assert {name: after[name] for name in (FEW[0], FEW[2])} == {
        name: before[name] for name in (FEW[0], FEW[2])
    }


def test_a_pattern_publishes_some_and_keeps_the_other_pins(hub, publisher):
    publish = publisher()
    assert publish("gru4rec-*").returncode == 0
    assert set(read_pins(publish.pins)) == {FEW[0]}
    assert publish("*@recbole").returncode == 0
    assert set(read_pins(publish.pins)) == {FEW[0], FEW[2]}
    assert set(hub.store.repos) == {REPOS[FEW[0]], REPOS[FEW[2]]}


@pytest.mark.parametrize(
    ("match", "method", "skip"),
    [
        pytest.param("repos/create", "POST", 1, marks=pytest.mark.slow),
        pytest.param(f"/lfs/{REPOS[FEW[1]]}/", "PUT", 0, marks=pytest.mark.slow),
        (f"{REPOS[FEW[1]]}/commit/main", "POST", 0),
    ],
)
def test_a_failure_half_way_is_resumed(hub, publisher, match, method, skip):
    publish = publisher()
    hub.faults.add(match, kind="status", method=method, status=403, times=None, skip=skip)
    done = publish()
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert set(read_pins(publish.pins)) == {FEW[0]}
    hub.faults.clear()
    done = publish()
    assert done.returncode == 0, done.stderr
    assert "is up to date" in done.stdout.splitlines()[0]
    assert set(read_pins(publish.pins)) == set(FEW)
    assert [commits(hub, name) for name in FEW] == [1, 1, 1]


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub, publisher):
    publish = publisher()
    hub.faults.add("/commit/main", kind="truncate", method="POST", skip=1)
    assert publish().returncode != 0
    assert set(read_pins(publish.pins)) == {FEW[0]}
    assert commits(hub, FEW[1]) == 1
    done = publish()
    assert done.returncode == 0, done.stderr
    assert set(read_pins(publish.pins)) == set(FEW)
    assert [commits(hub, name) for name in FEW] == [1, 1, 1]


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGKILL, -9)],
)
def test_a_run_that_is_stopped_is_resumed(hub, publisher, number, code):
    publish = publisher()
    slow = hub.faults.add("/commit/main", kind="slow", method="POST", skip=1, chunk=1, seconds=0.5)
    process = subprocess.Popen(
        publish.command(),
        env=publish.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not slow.fired:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in error
    assert set(read_pins(publish.pins)) == {FEW[0]}
    hub.faults.clear()
    done = publish()
    assert done.returncode == 0, done.stderr
    assert set(read_pins(publish.pins)) == set(FEW)
    assert [commits(hub, name) for name in FEW] == [1, 1, 1]
    assert [path.name for path in publish.pins.parent.glob("*pins*")] == ["pins.json"]


def test_nothing_is_sent_if_one_checkpoint_is_damaged(hub, publisher):
    publish = publisher()
    weights = publish.cards / FEW[-1] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = publish()
    assert done.returncode == 2
    assert "model.safetensors" in done.stderr
    assert writes(hub) == []
    assert publish.pins.read_text() == "{}\n"


def test_a_repository_that_is_private_is_refused(hub, publisher):
    """What it pins could be loaded by nobody else."""
    publish = publisher()
    hub.add_repo(REPOS[FEW[-1]], private=True)
    done = publish()
    assert done.returncode == 2
    assert "is private" in done.stderr
    assert writes(hub) == []


def test_names_that_cannot_be_published_are_refused(hub, publisher):
    publish = publisher()
    (publish.cards / FEW[2]).rename(publish.cards / "sasrec-ml100k@1")
    (publish.cards / FEW[1]).rename(publish.cards / "sasrec-ml100k-1")
    done = publish()
    assert done.returncode == 2
    assert "'sasrec-ml100k-1' and 'sasrec-ml100k@1' would share org/sasrec-ml100k-1" in done.stderr
    shutil.rmtree(publish.cards / "sasrec-ml100k@1")
    (publish.cards / FEW[0]).rename(publish.cards / "other-ml100k")
    done = publish()
    assert done.returncode == 2
    assert "expected a name that begins with 'gru4rec-'" in done.stderr
    assert "no checkpoint in" in publish("nothing-*").stderr
    assert "expected hf://org/name" in publish(org="a/b").stderr
    assert hub.log == []


def test_without_a_token_that_may_write_nothing_is_sent(hub, publisher):
    publish = publisher()
    done = publish(HF_TOKEN="hf_test_read")
    assert done.returncode == 2
    assert "cannot be written to with this token" in done.stderr
    assert not hub.store.repos
    assert publish.pins.read_text() == "{}\n"


def test_damaged_pins_are_refused_before_anything_is_sent(hub, publisher):
    publish = publisher()
    publish.pins.write_text("<<<<<<< ours\n{}\n")
    done = publish()
    assert done.returncode == 2
    assert "pins.json is not the JSON that seqzoo writes" in done.stderr
    assert hub.log == []


def fine_tuned(publish, name, base):
    """A checkpoint among the cards that says it was fine-tuned from another one of them."""
    start = parse_manifest(publish.cards / base / "config.json").sha256
    model = seqzoo.load(publish.cards / base)
    recipe = {"start": {"source": base, "sha256": start}, "data": {}}
    save_model(publish.cards / name, model, recipe=recipe, metrics={})


def test_a_base_is_published_before_what_was_fine_tuned_from_it(hub, publisher):
    publish = publisher([FEW[1]])
    early = "sasrec-aaa"  # its name comes first
    fine_tuned(publish, early, FEW[1])
    done = publish()
    assert done.returncode == 0, done.stderr
    assert [line.split()[1].rstrip(":") for line in done.stdout.splitlines()] == [FEW[1], early]
    assert f"base_model: {REPOS[FEW[1]]}" in hub.files(f"org/{early}")["README.md"].decode()
    pinned = publish.pins.read_bytes()
    hub.clear_log()
    assert publish().stdout.count("is up to date\n") == 2
    assert writes(hub) == []
    assert publish.pins.read_bytes() == pinned


def test_pins_that_cannot_be_written_stop_a_run_before_anything_is_sent(hub, publisher):
    publish = publisher()
    # To the program, a limit on the size of files is the same as a full disk.
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    limit += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    python, *words = publish.command()
    done = subprocess.run(
        [python, "-c", limit, *words], env=publish.environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pins.json: the pins cannot be written: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert hub.log == []
    assert publish.pins.read_text() == "{}\n"
    assert [path.name for path in publish.pins.parent.glob("*pins*")] == ["pins.json"]


def test_two_runs_at_once_lose_no_pin(hub, publisher):
    publish = publisher()
    runs = [
        subprocess.Popen(
            publish.command(pattern),
            env=publish.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for pattern in ("gru4rec-*", "sasrec-*")
    ]
    for run in runs:
        _, error = run.communicate(timeout=300)
        assert run.returncode == 0, error
    assert set(read_pins(publish.pins)) == set(FEW)
