"""The scripts behind the study of the defaults, on small generated data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["data.min_count=1", "model.hidden_size=8", "model.gru_size=8", "train.epochs=1"]


def script(name, *words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *map(str, words)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_defaults_beside_the_best_of_tune(tmp_path):
    words = ["--out", tmp_path, "--users", "60", "--trials", "2"]
    words += ["--data", "synthetic", "--settings", *SMALL, "--", "gru4rec"]
    entry = json.loads(script("defaults_against_tune.py", *words))
    assert entry["data"] == "synthetic"
    assert entry["defaults"]["users"] == 60
    for part, folder in (("defaults", "defaults"), ("tuned", "tuned/best")):
        first = entry[part]["selected_by"]
        assert round(entry[part]["value"], 4) == entry[part]["valid"][first]["ndcg@10"]
        assert (tmp_path / "synthetic-60-gru4rec" / folder / "config.json").is_file()
    assert script("defaults_against_tune.py", *words) == "", "what has ended is not run again"
    head, _, row = script("defaults_against_tune.py", "--out", tmp_path, "--table").splitlines()
    assert row.count("|") == head.count("|")
    assert row.startswith("| synthetic | 60 | `gru4rec` |")


@pytest.mark.slow
def test_runs_with_several_settings(tmp_path):
    words = ["--out", tmp_path, "--data", "synthetic", "--users", "60", "gru4rec"]
    words += [*SMALL, "--", *SMALL, "train.lr=1e-2"]
    entries = [json.loads(line) for line in script("defaults.py", *words).splitlines()]
    assert [entry["settings"] for entry in entries] == [SMALL, [*SMALL, "train.lr=1e-2"]]
    assert entries[0]["valid"] != entries[1]["valid"]
    assert script("defaults.py", *words) == ""
