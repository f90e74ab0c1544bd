"""After training the baselines are measured on the same test users; a better one is reported."""

import json

import seqzoo
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.evaluation.ranks import gains_by_user, means
from seqzoo.training import beaten
from seqzoo.training.loop import train

NAMES = ["popular", "recent-popular", "item-knn", "markov"]
SPLIT = split_of(get_protocol("loo-full"))


def test_a_model_that_is_worse_is_told_so_with_the_numbers(recipe, tmp_path, caplog):
    result = train(recipe(epochs=1, lr=1e-6), tmp_path / "run")
    (warning,) = [r.getMessage() for r in caplog.records if "does not beat" in r.getMessage()]
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for protocol in ("loo-full", "loo-full-unseen"):
        assert list(stored[protocol]["baselines"]) == NAMES
        assert stored[protocol]["baselines"]["markov"].keys() == result.metrics[protocol].keys()
    values = {n: v["ndcg@10"] for n, v in stored["loo-full"]["baselines"].items()}
    own = result.metrics["loo-full"]["ndcg@10"]
    better = sorted((n for n in NAMES if values[n] >= own), key=lambda n: -values[n])
    assert better, "the data were made so that an untrained model is worse than counting"
    for name in better:
        assert f"{name} ({values[name]:.4f})" in warning
    assert f"NDCG@10 of {own:.4f} on {stored['loo-full']['users']} test users" in warning
    assert f"seqzoo train {better[0]}" in warning
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"| `markov` | {stored['loo-full']['baselines']['markov']['hit@10']:.4f} |" in card


def test_they_are_left_out_on_request(recipe, tmp_path, caplog):
    train(recipe(epochs=1, lr=1e-6, baselines=False), tmp_path / "run")
    assert "does not beat" not in caplog.text
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert all("baselines" not in entry for entry in stored.values())


def test_a_model_that_is_better_is_not_told_so(fresh_model, caplog):
    model, data = fresh_model
    held_out = hold_out(data, model.vocabulary, SPLIT)
    protocols = [get_protocol("loo-full")]
    found = beaten.measure_baselines(model, held_out, protocols, {"ndcg@10": 1.0}, "ndcg@10")
    assert found["loo-full"].keys() == {"baselines"}
    assert list(found["loo-full"]["baselines"]) == NAMES
    assert "does not beat" not in caplog.text


def test_of_many_users_some_are_measured_the_model_too(fresh_model, caplog, monkeypatch):
    model, data = fresh_model
    monkeypatch.setattr(beaten, "MOST_TARGETS", 10)
    held_out = hold_out(data, model.vocabulary, SPLIT)
    protocols = [get_protocol("loo-full"), get_protocol("loo-full-unseen")]
    # The value of all users is not that of the ten, so it must not be compared with theirs.
    measured = {"ndcg@10": 1.0}
    found = beaten.measure_baselines(model, held_out, protocols, measured, "ndcg@10")
    assert "on 10 test users" in caplog.text
    owns = gains_by_user(model, held_out.evenly(10), protocols)
    for protocol, own in zip(protocols, owns, strict=True):
        entry = found[protocol.name]
        assert list(entry["baselines"]) == NAMES
        expected = {"targets": 10, "of": held_out.targets, "metrics": means(own)}
        assert entry["baselines_sample"] == expected


def test_a_sample_is_stored_and_shown_with_the_models_metrics_on_it(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(beaten, "MOST_TARGETS", 10)
    result = train(recipe(epochs=1, lr=1e-6), tmp_path / "run")
    stored = seqzoo.load(tmp_path / "run").metrics["loo-full"]
    sample = stored["baselines_sample"]
    assert (sample["targets"], sample["of"]) == (10, stored["users"])
    assert sample["metrics"].keys() == result.metrics["loo-full"].keys()
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"`loo-full`, on 10 of {stored['users']} test items |" in card
    assert f"| this checkpoint | {sample['metrics']['hit@10']:.4f} |" in card
    assert f"| `markov` | {stored['baselines']['markov']['hit@10']:.4f} |" in card
