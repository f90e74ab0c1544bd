"""In one call of a verb each file is read once, a model is built once, data are prepared once."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.hub.client import client_environment
from tests.hub.server import HubServer

FILES = {"config.json", "model.safetensors", "vocabulary.json", "recipe.yaml", "metrics.json"}

ONCE = {"check_bytes": 4, "parse_json": 3, "parse_yaml": 1, "tensors": 1}
"""Four files are hashed; config, vocabulary and metrics are JSON, the recipe is YAML."""

# Counts what a verb does, from the outside of the code that does it: files that the process opens
# for reading, modules that are built, data that are filtered and put into sequences.
COUNTED = """
import json, os, sys
from collections import Counter
from pathlib import Path

folder, words = os.path.realpath(sys.argv[1]), sys.argv[2:]
opened, calls = Counter(), Counter()

def audit(event, args):
    if event == "open" and isinstance(args[0], str):
        place, name = os.path.split(os.path.realpath(args[0]))
        reads = "r" in (args[1] or "") or not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if place == folder and reads and not os.path.isdir(args[0]):
            opened[name] += 1

def count(module, name):
    real = getattr(module, name)
    def counted(*args, **options):
        calls[name] += 1
        return real(*args, **options)
    for other in list(sys.modules.values()):
        if getattr(other, "__name__", "").startswith("seqzoo") and vars(other).get(name) is real:
            setattr(other, name, counted)

import seqzoo.evaluation.compare, seqzoo.training.loop, seqzoo.evaluation.verify
from seqzoo.cli.app import run
from seqzoo.data import interactions, sequences
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage import documents, integrity, plain_yaml, tensors
import safetensors.torch

count(interactions, "k_core")
count(sequences, "build_sequences")
count(integrity, "check_bytes")
count(documents, "parse_json")
count(plain_yaml, "parse_yaml")
real_load = safetensors.torch.load
def load(content):
    calls["tensors"] += 1
    return real_load(content)
tensors.load = load
real = SequenceModel.__init__
def built(*args, **options):
    calls["model"] += 1
    real(*args, **options)
SequenceModel.__init__ = built

sys.addaudithook(audit)
code = run(words)
print(json.dumps([code, opened, calls]), file=sys.stderr)
"""


def counted(folder: Path, *words: object, **variables: str) -> tuple[int, Counter, Counter]:
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(folder), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )
    assert done.returncode == 0, done.stderr
    code, opened, calls = json.loads(done.stderr.splitlines()[-1])
    return code, Counter(opened), Counter(calls)


def each_file_once(opened: Counter) -> bool:
    return {name: opened[name] for name in FILES} == dict.fromkeys(FILES, 1)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A small run of one epoch, made by the verb, and what that counted."""
    out = tmp_path_factory.mktemp("once") / "run"
    words = [
        *("train", "sasrec", "--data", "synthetic", "--out", out, "--min-count", "1"),
        *("data.options.users=80", "data.options.items=40", "data.options.mean_length=10"),
        *("model.hidden_size=16", "model.max_length=20", "train.epochs=1"),
    ]
    code, opened, calls = counted(out, *words)
    assert code == 0
    (out.parent / "counted.json").write_text(json.dumps([opened, calls]))
    return out


def test_train(run_folder):
    opened, calls = json.loads((run_folder.parent / "counted.json").read_text())
    # It writes the checkpoint of the best epoch and again with its metrics, and reads back nothing
    # but its own config.json, to see that the folder holds nothing of somebody else's.
    assert set(opened) <= {"config.json", "README.md"}
    assert opened.get("config.json", 0) <= 1
    del calls["parse_json"], calls["parse_yaml"]  # what it writes is read as it will be read later
    assert calls == {"k_core": 1, "build_sequences": 1, "model": 1}


def test_recommend(run_folder):
    code, opened, calls = counted(run_folder, "recommend", run_folder, "--history", "i5", "i11")
    assert code == 0
    assert each_file_once(opened), opened
    assert calls == {**ONCE, "model": 1}


def test_eval(run_folder):
    code, opened, calls = counted(run_folder, "eval", run_folder)
    assert code == 0
    assert each_file_once(opened), opened
    assert calls == {**ONCE, "model": 1, "k_core": 1, "build_sequences": 1}


def test_verify_with_eval(run_folder):
    code, opened, calls = counted(run_folder, "verify", run_folder, "--eval")
    assert code == 0
    assert each_file_once(opened), opened
    assert calls == {**ONCE, "model": 1, "k_core": 1, "build_sequences": 1}


def test_push(run_folder, tmp_path):
    with HubServer() as hub:
        variables = client_environment(hub.url, tmp_path / "home")
        code, opened, calls = counted(
            run_folder, "push", run_folder, "org/shop", "--json", **variables
        )
    assert code == 0
    assert each_file_once(opened), opened
    # The Hub's answers and the front matter of the card, before and after, are parsed besides.
    assert (calls.pop("parse_json"), calls.pop("parse_yaml")) == (6, 3)
    assert calls == {"check_bytes": 4, "tensors": 1, "model": 1}
