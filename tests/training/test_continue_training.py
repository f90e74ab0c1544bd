"""Training that continues from a checkpoint on newer data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import seqzoo
from seqzoo.data.synthetic import synthetic
from seqzoo.errors import ConfigError, DataError, TrainingError, UnknownNameError, UsageError
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from seqzoo.training.recipe import Recipe

KEPT = ("model.safetensors", "vocabulary.json", "recipe.yaml", "metrics.json", "config.json")


@pytest.fixture(scope="module")
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Older and newer events; the newer ones have three items more and two fewer users."""
    frame = synthetic(users=80, items=40, mean_length=20).frame.sort("order", maintain_order=True)
    frame = frame.select("user", "item", timestamp="order")
    late = frame["item"].unique(maintain_order=True).to_list()[-3:]
    cut = int(0.7 * frame.height)
    old = frame[:cut].filter(~pl.col("item").is_in(late))
    return old, frame[cut:]


@pytest.fixture(scope="module")
def start(tables, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("start") / "old"
    recipe = {
        "architecture": "sasrec",
        "model": {"hidden_size": 16, "max_length": 20, "num_layers": 1},
        "data": {"source": tables[0], "min_count": 1},
        "train": {"epochs": 2, "lr": 5e-3, "batch_size": 8, "baselines": False},
    }
    train(recipe, out)
    return out


def continued(start, tables, out, **sections):
    recipe = {
        "start": str(start),
        "data": {"source": tables[1], **sections.pop("data", {})},
        "train": {"epochs": 2, **sections.pop("train", {})},
        **sections,
    }
    return train(recipe, out)


def test_items_keep_their_order_and_new_ones_follow(start, tables, tmp_path):
    result = continued(start, tables, tmp_path / "new")
    old, new = seqzoo.load(start), seqzoo.load(tmp_path / "new")
    assert new.vocabulary.items[: len(old.vocabulary)] == old.vocabulary.items
    added = set(tables[1]["item"]) - set(old.vocabulary.items)
    assert set(new.vocabulary.items[len(old.vocabulary) :]) == added
    assert result.new_items == len(added) > 0
    assert result.start == {"source": str(start), "sha256": seqzoo.info(start)["sha256"]}
    assert new.recipe["start"] == result.start
    # The counts are those of both trainings.
    counts = np.asarray(new.vocabulary.counts[: len(old.vocabulary)])
    assert (counts >= np.asarray(old.vocabulary.counts)).all()
    assert counts.sum() > sum(old.vocabulary.counts)
    assert evaluate(new, tables[1], settings={"min_count": 1}).drift == {}


def test_its_recipe_is_the_starts_with_what_is_changed(start, tables, tmp_path):
    given = {"start": str(start), "data": {"source": "newer.csv"}, "train": {"lr": 1e-4}}
    made = Recipe.make(given)
    old = seqzoo.load(start).recipe
    assert made.architecture == "sasrec"
    assert dict(made.model) == old["model"]
    assert made.train.batch_size == 8
    assert made.train.lr == 1e-4
    assert made.data.min_count == 1
    assert made.train.threads == 0


def test_the_weights_are_those_of_the_start(start, tables, tmp_path):
    """Without a step the old rows and all other parts are the start's, bit for bit."""
    continued(start, tables, tmp_path / "new", train={"epochs": 1, "lr": 1e-30})
    old, new = seqzoo.load(start), seqzoo.load(tmp_path / "new")
    count = len(old.vocabulary) + 1
    for name, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[name][: len(value)], value), name
    assert len(new.embedder.item_table) > count


def test_a_stopped_run_resumes_to_the_same_bytes(start, tables, tmp_path):
    class Stop(Reporter):
        def epoch(self, record, best):
            if record["epoch"] == 1:
                raise KeyboardInterrupt

    recipe = {
        "start": str(start),
        "data": {"source": tables[1], "replay_source": tables[0]},
        "train": {"epochs": 3, "replay": 0.5, "baselines": False},
    }
    train(recipe, tmp_path / "whole")
    assert train(recipe, tmp_path / "parts", reporter=Stop()).interrupted
    train(recipe, tmp_path / "parts")
    for name in KEPT:
        one, other = (tmp_path / run / name for run in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes(), name


def test_a_stored_recipe_refuses_another_start(start, tables, tmp_path):
    continued(start, tables, tmp_path / "new")
    recipe = seqzoo.load(tmp_path / "new").recipe
    recipe["data"].pop("fingerprint")
    train(recipe, tmp_path / "again", data=tables[1])
    first, again = (tmp_path / run / "model.safetensors" for run in ("new", "again"))
    assert first.read_bytes() == again.read_bytes()
    recipe["start"]["sha256"] = "0" * 64
    with pytest.raises(TrainingError, match=r"started from 0{64}: the checkpoint has changed"):
        train(recipe, tmp_path / "third", data=tables[1])


def test_a_changed_width_names_the_setting(start, tables, tmp_path):
    with pytest.raises(ConfigError, match=r"model.hidden_size is 32 and 16 in the weights"):
        continued(start, tables, tmp_path / "new", model={"hidden_size": 32, "dropout": 0.1})
    continued(start, tables, tmp_path / "other", model={"dropout": 0.1}, train={"epochs": 1})
    assert seqzoo.load(tmp_path / "other").config["dropout"] == 0.1


def test_wrong_starts(start, tables, tmp_path):
    for given, error, said in (
        (str(tmp_path / "none"), seqzoo.errors.CheckpointError, "there is no folder"),
        ("sasrec-ml1n", UnknownNameError, "did you mean"),
        ({"folder": "x"}, UsageError, "expected source"),
    ):
        with pytest.raises(error, match=said):
            train({"start": given}, tmp_path / "new", data=tables[1])
    with pytest.raises(ConfigError, match="is a sasrec, the recipe's architecture is gru4rec"):
        continued(start, tables, tmp_path / "new", architecture="gru4rec")
    with pytest.raises(ConfigError, match="no newer data given"):
        train({"start": str(start)}, tmp_path / "new")
    with pytest.raises(TrainingError, match="is the checkpoint that the run starts from"):
        continued(start, tables, start)
    assert not (tmp_path / "new").exists()


def test_frozen_parts_stay_as_they_are(start, tables, tmp_path):
    continued(start, tables, tmp_path / "new", train={"freeze": ["backbone"]})
    old, new = seqzoo.load(start), seqzoo.load(tmp_path / "new")
    for name, value in old.backbone.state_dict().items():
        assert torch.equal(new.backbone.state_dict()[name], value), name
    assert not torch.equal(
        new.embedder.item_table[: len(old.vocabulary) + 1], old.embedder.item_table
    )
    freeze = ["embedder", "backbone", "head"]
    with pytest.raises(TrainingError, match="leaves nothing to train"):
        continued(start, tables, tmp_path / "none", train={"freeze": freeze})
    with pytest.raises(ConfigError, match="'freeze' is 'encoder'"):
        continued(start, tables, tmp_path / "none", train={"freeze": ["encoder"]})


def test_replay_needs_older_events(start, tables, tmp_path):
    with pytest.raises(TrainingError, match=r"train.replay is 0.5, and there are no older events"):
        continued(start, tables, tmp_path / "new", train={"replay": 0.5})
    with pytest.raises(TrainingError, match="the recipe has no start"):
        train(
            {"architecture": "sasrec", "data": {"source": tables[1], "replay_source": tables[0]}},
            tmp_path / "new",
        )
    with pytest.raises(DataError, match="expected the events before them"):
        continued(start, tables, tmp_path / "new", data={"replay_source": pl.concat(tables)})


def test_the_run_after_one_with_replay_and_frozen_parts_has_neither(start, tables, tmp_path):
    recipe = {
        "start": str(start),
        "data": {"source": tables[1], "replay_source": tables[0]},
        "train": {"epochs": 1, "replay": 0.5, "freeze": ["backbone"], "baselines": False},
    }
    train(recipe, tmp_path / "may")
    continued(tmp_path / "may", tables, tmp_path / "june", train={"epochs": 1})
    may, june = seqzoo.load(tmp_path / "may"), seqzoo.load(tmp_path / "june")
    assert (june.recipe["train"]["replay"], june.recipe["train"]["freeze"]) == (0.0, [])
    frozen = may.backbone.state_dict()
    assert any(not torch.equal(june.backbone.state_dict()[name], frozen[name]) for name in frozen)


def test_all_events_train_without_validation(tables, tmp_path, capsys):
    recipe = {
        "architecture": "gru4rec",
        "model": {"hidden_size": 8, "gru_size": 8, "max_length": 10},
        "data": {"source": tables[0], "min_count": 1},
        "train": {"epochs": 3, "hold_out": "none", "patience": 1},
    }
    result = train(recipe, tmp_path / "live")
    assert (result.epochs, result.best_epoch, result.metrics) == (3, 3, {})
    assert not result.validated
    assert "without validation" in repr(result)
    model = seqzoo.load(tmp_path / "live")
    assert sum(model.vocabulary.counts) == tables[0].height
    assert model.metrics == {}
    again = train(recipe, tmp_path / "live")
    assert again.epochs == 3
    assert not again.validated
    del recipe["train"]["epochs"]
    with pytest.raises(ConfigError, match="for a fixed number of epochs"):
        train(recipe, tmp_path / "other")


def test_a_run_without_validation_resumes_to_the_same_bytes(tables, tmp_path):
    class Stop(Reporter):
        def epoch(self, record, best):
            if record["epoch"] == 2:
                raise KeyboardInterrupt

    recipe = {
        "architecture": "gru4rec",
        "model": {"hidden_size": 8, "gru_size": 8, "max_length": 10},
        "data": {"source": tables[0], "min_count": 1},
        "train": {"epochs": 4, "hold_out": "none"},
    }
    train(recipe, tmp_path / "whole")
    assert train(recipe, tmp_path / "parts", reporter=Stop()).interrupted
    train(recipe, tmp_path / "parts")
    for name in KEPT:
        one, other = (tmp_path / run / name for run in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes(), name


def test_a_registered_model_continues_training(tables, tmp_path):
    """By name, from Python, with a data frame."""
    made = Recipe.make({"start": "gru4rec-ml100k"}, tables[1])
    assert made.start.source == "gru4rec-ml100k"
    assert made.data.source == "a table in memory"
    assert replace(made, start=None).to_dict().get("start") is None
    assert isinstance(made.start.model, SequenceModel)
