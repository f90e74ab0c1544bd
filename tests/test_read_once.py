"""In one call of a verb each file is read, hashed and parsed once, a model is built once, data are
prepared once; what is written or read more often is listed with the reason."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hub.client import client_environment
from tests.hub.server import HubServer

RECORDED = {
    "model.safetensors", "item_features.safetensors", "vocabulary.json", "recipe.yaml",
    "metrics.json",
}  # fmt: skip
FILES = {"config.json", *RECORDED}

ONCE = {"check_bytes": 5, "parse_json": 4, "parse_yaml": 1, "tensors": 2}
"""Five files are hashed; config, vocabulary, metrics and the columns of the item features are JSON,
the recipe is YAML."""

# Counts what a verb does, from the outside of the code that does it: files of the folder and data
# next to it that are opened for reading, files that are written into the folder, every sha256 that
# is computed, models that are built, data that are filtered and put into sequences.
COUNTED = """
import hashlib, json, os, sys
from collections import Counter
from pathlib import Path

folder, words = os.path.realpath(sys.argv[1]), sys.argv[2:]
opened, written, hashed, calls = Counter(), Counter(), Counter(), Counter()

class Sha256:
    def __init__(self, *data, **options):
        self.real = real_sha256(*data, **options)
    def __getattr__(self, name):
        if name in ("digest", "hexdigest"):
            hashed[self.real.hexdigest()] += 1
        return getattr(self.real, name)

# Before anything is imported: the Hub's client keeps a reference of its own.
real_sha256, hashlib.sha256 = hashlib.sha256, Sha256

def audit(event, args):
    if event == "open" and isinstance(args[0], str):
        place, name = os.path.split(os.path.realpath(args[0]))
        reads = "r" in (args[1] or "") or not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        is_data = place == os.path.dirname(folder) and name in ("log.csv", "items.csv")
        if (place == folder or is_data) and reads and not os.path.isdir(args[0]):
            opened[name] += 1
        above, incoming = os.path.split(place)
        if above == folder and incoming.startswith(".incoming-") and "w" in (args[1] or ""):
            written[name] += 1

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
from seqzoo.data import build, interactions
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage import documents, integrity, plain_yaml, tensors
import safetensors.torch

count(interactions, "k_core")
count(build, "build_sequences")
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
print(json.dumps([code, opened, written, hashed, calls]), file=sys.stderr)
"""


class Counts(NamedTuple):
    """What one call of a verb did: files by name, hashes by their value, calls by function."""

    code: int
    opened: Counter
    written: Counter
    hashed: Counter
    calls: Counter


def counted(folder: Path, *words: object, **variables: str) -> Counts:
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(folder), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )
    assert done.returncode == 0, done.stderr
    code, *counters = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return Counts(code, *map(Counter, counters))


def each_file_once(folder: Path, counts: Counts) -> bool:
    """Whether each file was read once, and each file that config.json records hashed once."""
    return {name: counts.opened[name] for name in FILES} == dict.fromkeys(
        FILES, 1
    ) and recorded_files_hashed(folder, counts) == dict.fromkeys(RECORDED, 1)


def recorded_files_hashed(folder: Path, counts: Counts) -> dict[str, int]:
    files = json.loads((folder / "config.json").read_text())["files"]
    return {name: counts.hashed[entry["sha256"]] for name, entry in files.items()}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A small run of one epoch with item features, made by the verb, and what that counted."""
    out = tmp_path_factory.mktemp("once") / "run"
    rows = [f"u{u},i{(u + t) % 40},{t},Title {(u + t) % 40}" for u in range(80) for t in range(10)]
    log = out.parent / "log.csv"
    log.write_text("\n".join(["user_id,item_id,timestamp,title", *rows]) + "\n")
    features = out.parent / "items.csv"
    prices = [f"i{item},{item % 7}.5,kind {item % 3}" for item in range(40)]
    features.write_text("\n".join(["item_id,price,kind", *prices]) + "\n")
    words = [
        *("train", "sasrec", "--data", log, "--out", out, "--min-count", "1"),
        *("--item-features", features, "model.embedder=item-features-position"),
        *("model.hidden_size=16", "model.max_length=20", "train.epochs=1"),
    ]
    (out.parent / "counted.json").write_text(json.dumps(counted(out, *words)))
    return out


def test_train(run_folder):
    code, *counters = json.loads((run_folder.parent / "counted.json").read_text())
    counts = Counts(code, *map(Counter, counters))
    # It writes the checkpoint of the best epoch, then adds the metrics, and reads back nothing but
    # its own config.json, to see that the folder holds no files of another program.
    assert counts.opened == {"log.csv": 1, "items.csv": 1, "config.json": 1, "README.md": 1}
    twice = {"metrics.json", "config.json", "README.md", ".files"}
    assert counts.written == {name: 2 if name in twice else 1 for name in {*FILES, *twice}}
    assert recorded_files_hashed(run_folder, counts) == dict.fromkeys(RECORDED, 1)
    calls = counts.calls
    # JSON: pins.json, the lists of the files of five commits, and config.json, whose content is
    # checked as it will be read: when it is written, twice, and before the second time. YAML: the
    # front matter of the card, before it is written again.
    assert (calls.pop("parse_json"), calls.pop("parse_yaml")) == (9, 1)
    # Its own model, and the four baselines that it is compared with.
    assert calls == {"k_core": 1, "build_sequences": 1, "model": 5}


def test_recommend(run_folder):
    counts = counted(run_folder, "recommend", run_folder, "--history", "i5", "i11")
    assert each_file_once(run_folder, counts), counts
    assert counts.calls == {**ONCE, "model": 1}


def test_eval(run_folder):
    counts = counted(run_folder, "eval", run_folder)
    assert each_file_once(run_folder, counts), counts
    assert counts.opened["log.csv"] == 1
    assert counts.calls == {**ONCE, "model": 1, "k_core": 1, "build_sequences": 1}


def test_verify_with_eval(run_folder):
    counts = counted(run_folder, "verify", run_folder, "--eval")
    assert each_file_once(run_folder, counts), counts
    assert counts.opened["log.csv"] == 1
    assert counts.calls == {**ONCE, "model": 1, "k_core": 1, "build_sequences": 1}


def test_push(run_folder, tmp_path):
    with HubServer() as hub:
        variables = client_environment(hub.url, tmp_path / "home")
        words = ("push", run_folder, "org/shop", "--json")
        first, again = (counted(run_folder, *words, **variables) for _ in range(2))
    assert each_file_once(run_folder, first), first
    assert each_file_once(run_folder, again), again
    assert (first.opened["README.md"], again.opened["README.md"]) == (1, 1)
    # The Hub's client hashes config.json, whose sha256 no other file records.
    assert first.hashed[hashlib.sha256((run_folder / "config.json").read_bytes()).hexdigest()] == 1
    # The Hub's answers, pins.json and the front matter of the card, before and after, are parsed
    # too.
    calls = first.calls
    assert (calls.pop("parse_json"), calls.pop("parse_yaml")) == (8, 3)
    assert calls == {"check_bytes": 5, "tensors": 2, "model": 1}
