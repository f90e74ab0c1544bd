"""What the tests of exported folders share: histories, comparisons, and the bare environment."""

import json
import subprocess

import numpy as np

from seqzoo.serving.export.runner import Recommender

ISOLATED = """
import importlib.util, json, sys
assert importlib.util.find_spec("torch") is importlib.util.find_spec("seqzoo") is None
sys.path.insert(0, sys.argv[1])
from runner import Recommender
given = json.loads(sys.stdin.read())
model, found = Recommender(sys.argv[1]), []
for start in range(0, len(given["histories"]), 50):
    some = slice(start, start + 50)
    times = given["timestamps"] and given["timestamps"][some]
    found += model.recommend_many(given["histories"][some], 10, timestamps=times)
print(json.dumps(found))
"""

SIZES = ((1, 1), (1, 2), (2, 1), (7, 30), (64, 250), (2, 2000))
"""Batches and their longest histories."""


def isolated(bare, folder, histories, stamps=None):
    """The lists of an exported folder in the bare environment."""
    done = subprocess.run(
        [bare.python, "-c", ISOLATED, folder],
        input=json.dumps({"histories": histories, "timestamps": stamps}),
        capture_output=True,
        text=True,
        cwd=folder,
        env={"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def histories_of(model, lengths):
    generator = np.random.default_rng(3)
    items = model.vocabulary.items
    return [[items[i] for i in generator.integers(0, len(items), size=n)] for n in lengths]


def stamps_of(histories):
    generator = np.random.default_rng(4)
    return [(10**9 + generator.integers(0, 10**6, len(h)).cumsum()).tolist() for h in histories]


def check(model, folder, sizes=SIZES):
    """The user vectors of many lengths and batches are the model's."""
    runner = Recommender(folder)
    for batch, longest in sizes:
        histories = histories_of(model, np.linspace(1, longest, batch).astype(int))
        histories[-1] = histories_of(model, [longest])[0]
        stamps = stamps_of(histories) if runner.uses_time else None
        expected = model.encode(histories, timestamps=stamps).numpy()
        found = runner.encode(histories, stamps)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
