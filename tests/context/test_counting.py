"""Heads in closed form with features: what they are fitted on, and what freezing them means."""

import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.data.parts import histories_of
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.errors import TrainingError
from seqzoo.evaluation.baselines import fit_baselines
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.interfaces import Head
from seqzoo.model.reads import user_numbers
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec, PartSpec

from .conftest import frame, recipe

SPLIT = split_of(get_protocol("loo-full"))


@dataclass
class RatingsConfig:
    """No settings."""


class Ratings(Head):
    """The mean rating of each item, for everyone."""

    closed_form = True

    def __init__(self, config, embedder):
        super().__init__()
        self.register_buffer("means", torch.zeros(len(embedder.item_table)))
        self.seen = None

    def forward(self, hidden):
        return self.means.expand(*hidden.shape[:-1], -1).clone()

    def loss(self, hidden, targets):
        raise NotImplementedError

    def fit(self, sequences):
        self.seen = sequences
        sums = np.bincount(sequences.items, sequences.features["rating"], len(self.means))
        counts = np.bincount(sequences.items, minlength=len(self.means))
        self.means.copy_(torch.from_numpy(sums / np.maximum(counts, 1)))


@pytest.fixture
def rated(register, monkeypatch):
    """The architecture ``contextual`` with that head, as a baseline."""
    register()
    module = types.ModuleType("rated_baseline")
    module.Ratings, module.RatingsConfig = Ratings, RatingsConfig
    monkeypatch.setitem(sys.modules, "rated_baseline", module)
    head = PartSpec("ratings", "tests", "rated_baseline:Ratings", "rated_baseline:RatingsConfig")
    spec = ArchitectureSpec(
        "best-rated", "tests", "rated", "waits", "ratings", recipe={"epochs": 1}, baseline=True
    )
    monkeypatch.setitem(catalogue().heads._specs, "ratings", head)
    monkeypatch.setitem(catalogue().architectures._specs, "best-rated", spec)
    return spec.name


def test_the_histories_of_a_part_keep_features_and_users():
    sequences = Sequences(
        np.arange(1, 8, dtype=np.int32),
        np.arange(7, dtype=np.int64),
        np.array([0, 3, 4, 7]),
        {"rating": np.arange(7, dtype=np.float32)},
        True,
        np.array([5, 6, 7]),
    )
    positions = [np.array(each) for each in ([0, 4], [2, 6], [2, 6], [0, 2])]
    found = histories_of(sequences, Split(*positions))
    assert found.items.tolist() == [1, 2, 5, 6]
    assert found.features["rating"].tolist() == [0.0, 1.0, 4.0, 5.0]
    assert found.users.tolist() == [5, 7]
    assert found.query_times


def test_a_baseline_is_fitted_on_the_features_that_it_declares(rated, caplog):
    data = prepare(DataConfig(features=["rating", "device"], min_count=1), frame())
    model = fit_baselines(data, SPLIT)[rated]
    train = frame().sort("user", "timestamp", maintain_order=True).group_by("user").head(8)
    for item, ratings in train.group_by("item").agg("rating").iter_rows():
        index = model.vocabulary.index(item)
        assert float(model.head.means[index]) == pytest.approx(np.mean(ratings)), item
    assert model.head.seen.users.tolist() == user_numbers(data.users).tolist()
    bare = prepare(DataConfig(min_count=1), frame())
    with caplog.at_level("INFO"):
        assert rated not in fit_baselines(bare, SPLIT)
    assert "best-rated is left out: " in caplog.text
    assert "reads the feature 'rating' of every event, which the data do not have" in caplog.text


def test_it_trains_and_is_compared_with_other_models(rated, tmp_path):
    asked = {**recipe(), "architecture": rated, "train": {"epochs": 1}}
    seqzoo.train(asked, tmp_path / "rated", data=frame())
    own = seqzoo.load(tmp_path / "rated").metrics["loo-full"]["metrics"]
    seqzoo.train(recipe(epochs=1), tmp_path / "other", data=frame())
    beside = seqzoo.load(tmp_path / "other").metrics["loo-full"]["baselines"]
    assert beside[rated] == own


def test_a_frozen_head_in_closed_form_leaves_nothing_to_train(rated, tmp_path):
    for architecture in (rated, "markov"):
        asked = {**recipe(), "architecture": architecture, "train": {"freeze": ["head"]}}
        with pytest.raises(TrainingError, match=r"freeze=\['head'\] leaves nothing to train"):
            seqzoo.train(asked, tmp_path / architecture, data=frame())
    # The other parts of a baseline learn nothing, so that freezing them changes nothing.
    for name, freeze in (("plain", []), ("frozen", ["embedder", "backbone"])):
        asked = {**recipe(), "architecture": "markov", "train": {"freeze": freeze}}
        seqzoo.train(asked, tmp_path / name, data=frame())
    plain, frozen = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "frozen")
    )
    assert plain == frozen
