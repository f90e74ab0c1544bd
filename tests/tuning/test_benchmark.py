"""The scripts behind the study of the defaults, on small generated data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqzoo.data.prepare import load_data

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


@pytest.mark.slow
def test_settings_chosen_without_one_data_set(tmp_path):
    for name, seed in (("first", 0), ("second", 1)):
        rows = load_data("synthetic", {"options": {"users": 40, "items": 20, "seed": seed}}).frame
        rows.select("user", "item", timestamp="order").write_csv(tmp_path / f"{name}.csv")
    words = ["--out", tmp_path / "out", "--data", tmp_path / "first.csv", tmp_path / "second.csv"]
    entries = [
        json.loads(x) for x in script("defaults_left_out.py", *words, "--", "narm").split("\n")[:-1]
    ]
    assert len(entries) == 6
    by_candidate = {
        entry["candidate"]: entry["valid"][entry["selected_by"]]["ndcg@10"]
        for entry in entries
        if entry["data"] == "second.csv"
    }
    best = max(by_candidate, key=by_candidate.get)
    head, _, row = script("defaults_left_out.py", "--out", tmp_path / "out", "--table").splitlines()
    # With two sets, what is best on the one is what is measured on the other.
    measured = next(
        entry["valid"][entry["selected_by"]]["ndcg@10"]
        for entry in entries
        if entry["data"] == "first.csv" and entry["candidate"] == best
    )
    assert f"→ {measured:.4f}".replace("0.", ".") in row
    assert row.count("|") == head.count("|")


def test_a_data_set_without_all_candidates_has_no_column(tmp_path):
    norms = [f"model.embedding_norm={each}" for each in ("none", "after-dropout")]
    candidates = ["train.adapt=false", *norms]
    runs = [("first", 3), ("second", 3), ("third", 2)]
    entries = [
        {
            "data": data,
            "architecture": "narm",
            "candidate": candidate,
            "selected_by": "loo-full",
            "valid": {"loo-full": {"ndcg@10": 0.1 * (number + 1)}},
        }
        for data, count in runs
        for number, candidate in enumerate(candidates[:count])
    ]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in entries))
    head, _, row = script("defaults_left_out.py", "--out", tmp_path, "--table").splitlines()
    assert head == "| architecture | chosen on all sets | first | second |"
    assert row == f"| `narm` | `{norms[1]}` | .1000 → .3000 (100%) | .1000 → .3000 (100%) |"
