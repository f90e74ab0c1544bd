"""The script that measures speed, state and spread for the board, on small generated data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import seqzoo
from seqzoo.model.save import save_model

ROOT = Path(__file__).resolve().parents[2]


def script(*words):
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "board.py"), *map(str, words)],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards")
    for architecture in ("bert4rec", "sasrec"):
        seqzoo.train(
            {
                "architecture": architecture,
                "model": {"hidden_size": 8, "max_length": 20},
                "data": {"source": "synthetic", "options": {"users": 60}},
                "train": {"epochs": 1, "protocols": ["loo-full", "loo-full-unseen"]},
            },
            folder / f"{architecture}-small",
        )
    return folder


@pytest.mark.slow
def test_every_model_is_measured_and_what_differs_ends_the_script(cards, tmp_path):
    out = tmp_path / "results" / "board.json"
    words = ["--cards", cards, "--out", out, "--turns", 1]
    done = script(*words)
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(out.read_text())
    assert (entry["data"], entry["peer"], entry["users"]) == ("synthetic", "sasrec-small", 1000)
    models = entry["models"]
    assert {"bert4rec-small", "sasrec-small", "markov", "popular"} <= set(models)
    assert models["sasrec-small"]["ratio"] == 1
    assert models["sasrec-small"]["state_bytes"] > 0
    assert models["bert4rec-small"]["state_bytes"] is None
    for model in models.values():
        assert model["users_per_second"] > 0
        assert set(model["spread"]) == {"loo-full", "loo-full-unseen"}
    stored = json.loads((cards / "sasrec-small" / "metrics.json").read_text())["loo-full"]
    share = stored["metrics"]["hit@10"]
    # A share of users has the standard error of a binomial.
    half = 1.96 * (share * (1 - share) / stored["users"]) ** 0.5
    assert models["sasrec-small"]["spread"]["loo-full"]["hit@10"] == pytest.approx(half, abs=1e-5)

    refused = script(*words, "--only", "ml-100k")
    assert refused.returncode == 2
    assert "no checkpoint was measured on 'ml-100k'; expected one of: synthetic" in refused.stderr

    model = seqzoo.load(cards / "sasrec-small")
    records = {key: dict(value) for key, value in model.metrics.items()}
    records["loo-full"]["metrics"] = {**records["loo-full"]["metrics"], "hit@10": 0.999}
    save_model(cards / "sasrec-small", model, metrics=records)
    wrong = script(*words)
    assert wrong.returncode == 1
    assert "sasrec-small: hit@10 under loo-full is" in wrong.stderr
