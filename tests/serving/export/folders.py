"""What the tests of exported folders share: histories, comparisons, and the bare environment."""

import json
import subprocess

import numpy as np
import pytest

from seqzoo.serving.export.runner import Recommender, RunnerError

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
    """The user vectors of many lengths and batches are the model's, and those of a session."""
    runner = Recommender(folder)
    for batch, longest in sizes:
        histories = histories_of(model, np.linspace(1, longest, batch).astype(int))
        histories[-1] = histories_of(model, [longest])[0]
        stamps = stamps_of(histories) if runner.uses_time else None
        compare(runner.encode(histories, stamps), model.encode(histories, timestamps=stamps))
        if runner.uses_query_time:
            at = [own[-1] + 86_400 * row for row, own in enumerate(stamps)]
            expected = model.encode(histories, timestamps=stamps, at=at)
            compare(runner.encode(histories, stamps, at), expected)
    check_session(model, runner)


def check_session(model, runner, events=40):
    """A session has the model's vector after every event, and for requests some time later."""
    (history,) = histories_of(model, [events])
    (stamps,) = stamps_of([history])
    session, own = model.session(), runner.session()
    for item, time in zip(history, stamps, strict=True):
        time = time if runner.uses_time else None
        session.observe(item, time)
        own.observe(item, time)
        compare(own.vector, session.hidden)
        if runner.uses_query_time:
            best = session.recommend(3, at=time + 3600)
            found = own.recommend(3, at=time + 3600)
            assert [item for item, _ in found] == [one.item for one in best]
    if runner.uses_query_time:
        with pytest.raises(RunnerError, match="give the timestamps of the events too"):
            runner.recommend(history, 3, at=3600)


def compare(found, expected):
    """Equal within 1e-5 of the largest value."""
    expected = expected.numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
