import json
import logging
from collections import Counter

import pytest
import torch

from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.errors import DataError, TrainingError
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train
from seqzoo.training.recipe import read_recipe_file

ARCHITECTURES = pytest.mark.parametrize("architecture", ["mamba4rec", "sasrec"])
LOSSES = ("cross-entropy", "sampled-softmax", "bce", "gbce", "bpr")


@ARCHITECTURES
def test_the_model_learns(finished, architecture):
    result, heard = finished(architecture, epochs=6)
    losses = [record["loss"] for record in heard.records]
    assert len(losses) == result.epochs == 6
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
    # Chance is 10 of 40 items; which items are popular alone gives 0.4.
    assert result.metrics["loo-full"]["hit@10"] > 0.5
    assert result.metrics["loo-full-unseen"]["hit@10"] > 0.5
    values = [record["value"] for record in heard.records]
    assert result.best_epoch == values.index(max(values)) + 1
    assert heard.best == [value > max([-1.0, *values[:i]]) for i, value in enumerate(values)]
    assert not result.interrupted


def test_the_popular_items_of_the_training_part_travel_in_the_checkpoint(finished):
    result, _ = finished("sasrec", epochs=6)
    model = SequenceModel.from_pretrained(result.out)
    data = prepare(DataConfig(**model.recipe["data"]))
    trained = Counter()
    for user in range(len(data.users)):
        trained.update(data.vocabulary.item(index) for index in data.sequences[user][:-2])
    assert dict(zip(model.vocabulary.items, model.vocabulary.counts, strict=True)) == {
        item: trained[item] for item in model.vocabulary.items
    }
    found = model.recommend([], k=5, on_cold="popular")
    assert [each.score for each in found] == [count for _, count in trained.most_common(5)]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(recipe, tmp_path, heard, loss):
    options = {} if loss == "cross-entropy" else {"negatives": 8}
    settings = recipe(
        "sasrec", {"loss": loss, "loss_options": options, "dropout": 0.0}, epochs=4, lr=1e-2
    )
    result = train(settings, tmp_path / "run", reporter=heard)
    losses = [record["loss"] for record in heard.records]
    assert losses[-1] < 0.95 * losses[0]
    assert result.metrics["loo-full"]["hit@10"] > 0.3


def test_another_head_trains(recipe, tmp_path, heard):
    model = {"head": "cosine-softmax", "temperature": 0.1, "dropout": 0.0}
    result = train(recipe("sasrec", model, epochs=4, lr=1e-2), tmp_path / "run", reporter=heard)
    losses = [record["loss"] for record in heard.records]
    assert losses[-1] < 0.95 * losses[0]
    assert result.metrics["loo-full"]["hit@10"] > 0.3
    assert SequenceModel.from_pretrained(result.out).recipe["model"]["head"] == "cosine-softmax"


@ARCHITECTURES
def test_stored_metrics_are_those_of_a_fresh_evaluation(finished, architecture):
    result, _ = finished(architecture, epochs=6)
    model = SequenceModel.from_pretrained(result.out)
    stored = json.loads((result.out / "metrics.json").read_text())
    assert set(stored) == {"loo-full", "loo-full-unseen"}
    for protocol, entry in stored.items():
        found = evaluate(model, "synthetic", protocol, batch_size=11)
        assert found.metrics == pytest.approx(entry["metrics"], abs=1e-9)
        assert found.stored == entry["metrics"] == result.metrics[protocol]
        assert found.drift == {}
        assert found.data["fingerprint"] == entry["data"]["fingerprint"]
        assert (found.users, found.items) == (entry["users"], entry["items"])
        assert entry["seed"] == 0


def test_what_the_reporter_hears(finished):
    _, heard = finished("sasrec", epochs=6)
    assert [(epoch, epochs) for epoch, epochs, _ in heard.started] == [(n, 6) for n in range(1, 7)]
    assert len(heard.batches) == sum(batches for _, _, batches in heard.started)
    assert heard.records[0].keys() == {"epoch", "loss", "metric", "value", "lr", "seconds"}
    # The loss of an epoch is the mean over its targets, batches of fewer count less.
    low, high = min(heard.batches), max(heard.batches)
    assert all(low < record["loss"] < high for record in heard.records)


def test_the_recipe_that_is_kept_reproduces_the_run(finished, tmp_path, same_files):
    result, _ = finished("sasrec")
    kept = read_recipe_file(result.out / "recipe.yaml")
    assert kept["data"]["fingerprint"].startswith("sha256:")
    assert kept["model"]["inner_size"] == 256
    again = train(kept, tmp_path / "again")
    assert again.metrics == result.metrics
    same_files(again.out, result.out)


def test_other_data_than_the_recipes_are_named(finished, tmp_path, caplog):
    result, _ = finished("sasrec")
    kept = read_recipe_file(result.out / "recipe.yaml")
    kept["data"]["options"] = {**kept["data"]["options"], "seed": 1}
    kept["train"]["epochs"] = 1
    with caplog.at_level(logging.WARNING, "seqzoo"):
        train(kept, tmp_path / "again")
    assert "the data differ from those of the recipe" in caplog.text


def test_seeds_tell_runs_apart(finished, recipe, tmp_path):
    result, _ = finished("sasrec")
    other = train(recipe("sasrec", seed=1), tmp_path / "other")
    one, two = ((out / "model.safetensors").read_bytes() for out in (result.out, other.out))
    assert one != two


@pytest.mark.parametrize(
    "setting",
    [
        {"weight_decay": 0.5},
        {"clip_norm": 0.01},
        {"warmup": 1.0},
        {"schedule": "cosine"},
        {"shift_windows": False},
        {"context": 4},
        {"batch_size": 4},
    ],
)
def test_every_setting_has_its_effect(finished, recipe, tmp_path, setting):
    result, _ = finished("sasrec")
    other = train(recipe("sasrec", **setting), tmp_path / "other")
    one, two = ((out / "model.safetensors").read_bytes() for out in (result.out, other.out))
    assert one != two


def test_early_stopping(recipe, tmp_path, heard):
    """At a rate that moves nothing the first epoch stays the best."""
    result = train(recipe("sasrec", lr=1e-30, epochs=50, patience=3), tmp_path, reporter=heard)
    assert (result.best_epoch, result.epochs) == (1, 4)
    assert heard.best == [True, False, False, False]
    assert result.metrics


def test_the_best_epoch_is_kept_not_the_last(recipe, tmp_path, monkeypatch):
    """Metrics that fall after the second epoch: its weights are the checkpoint."""
    from seqzoo.training import run

    values = iter([0.1, 0.5, 0.4, 0.3])
    weights = []

    def validate(self, held_out):
        weights.append({name: value.clone() for name, value in self.model.state_dict().items()})
        return next(values)

    monkeypatch.setattr(run.Run, "_validate", validate)
    result = train(recipe("sasrec", epochs=20, patience=2), tmp_path)
    assert (result.best_epoch, result.epochs) == (2, 4)
    for name, value in SequenceModel.from_pretrained(tmp_path).state_dict().items():
        assert torch.equal(value, weights[1][name])
        assert "norm" in name or not torch.equal(value, weights[3][name])


def test_a_loss_that_is_not_a_number(recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"loss became (nan|inf).*lower train\.lr"):
        train(recipe("sasrec", lr=1e30), tmp_path)


def rows(lengths, path):
    lines = ["user,item,timestamp"]
    lines += [
        f"u{user},i{(user + place) % 5},{place}"
        for user, length in enumerate(lengths)
        for place in range(length)
    ]
    path.write_text("\n".join(lines) + "\n")
    return {"source": str(path), "options": {}}


def test_histories_that_are_too_short(recipe, tmp_path):
    data = rows([3] * 6, tmp_path / "short.csv")
    with pytest.raises(DataError, match=r"has 3 interactions, 1 of them for training"):
        train(recipe("sasrec", data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_shortest_history_that_trains(recipe, tmp_path, heard):
    data = rows([4, 1, 2, 3], tmp_path / "short.csv")
    result = train(recipe("sasrec", data=data, epochs=1), tmp_path / "run", reporter=heard)
    assert heard.started == [(1, 1, 1)]
    assert result.metrics["loo-full"]["hit@5"] == 1.0


def test_a_filter_that_leaves_nothing(recipe, tmp_path):
    data = {**rows([4] * 6, tmp_path / "short.csv"), "min_count": 50}
    with pytest.raises(DataError, match="50-core"):
        train(recipe("sasrec", data=data), tmp_path / "run")


def test_a_protocol_keeps_its_own_filter(recipe, tmp_path):
    """Metrics of another k-core could not be reproduced."""
    data = {"order": "float32-time-row", "min_count": 1}
    with pytest.raises(TrainingError, match=r"5-core, but data\.min_count is 1.*data\.min_count=5"):
        train(
            recipe(data=data, epochs=1, protocols=["loo-recbole"], baselines=False),
            tmp_path / "run",
        )


def test_without_a_folder_a_run_has_the_name_of_its_architecture(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(recipe(epochs=1)).out.resolve() == tmp_path / "runs" / "sasrec"


def test_an_order_is_trained_and_tested_alike(recipe, tmp_path, caplog):
    """A protocol with another order would test on events that were trained on."""
    data = {"order": "float32-time-row", "min_count": 5}
    with pytest.raises(TrainingError, match="would test on events that were trained on"):
        train(recipe(data=data, epochs=1), tmp_path / "refused")
    assert not (tmp_path / "refused" / "model.safetensors").exists()

    result = train(
        recipe(data=data, epochs=1, protocols=["loo-recbole"], baselines=False), tmp_path / "run"
    )
    model = SequenceModel.from_pretrained(result.out)
    found = evaluate(model, "synthetic", "loo-recbole")
    assert found.metrics == pytest.approx(result.metrics["loo-recbole"], abs=1e-9)
    assert not caplog.records
    evaluate(model, "synthetic", "loo-full")
    assert "some of its test events were training events" in caplog.text
