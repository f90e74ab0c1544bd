"""BERT4Rec as a model: the conformance kit, what it learns, its settings and its registration."""

import random
from typing import ClassVar

import pytest
import torch

import seqzoo
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.plugins import catalogue
from seqzoo.testing import ArchitectureCases


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, padding, batches, gradients, seeds, saving."""

    architecture = "bert4rec"
    settings: ClassVar = {"hidden_size": 16, "inner_size": 32}


class TestOneLayer(ArchitectureCases):
    """With one layer ``last`` computes the newest event alone."""

    architecture = "bert4rec"
    settings: ClassVar = {"hidden_size": 16, "num_layers": 1, "num_heads": 4}


def test_every_event_reads_the_whole_history(make, shake):
    model = shake(make("bert4rec")).eval()
    items = torch.arange(1, 9)[None]
    before = model(SequenceBatch(items, torch.tensor([8])))
    for changed in (0, 7):
        other = items.clone()
        other[0, changed] = 30
        after = model(SequenceBatch(other, torch.tensor([8])))
        assert ((after - before).abs().amax(2) > 1e-3).all()


def test_it_learns_what_the_others_say(tmp_path):
    """Every user chooses from one of eight groups of five items, in any order."""
    draw = random.Random(0)
    rows = [(f"u{u}", f"{u % 8}-{draw.randrange(5)}", 60 * t) for u in range(64) for t in range(12)]
    settings = {"hidden_size": 32, "max_length": 12, "num_layers": 1, "mask_ratio": 0.5}
    result = seqzoo.train(
        {
            "architecture": "bert4rec",
            "model": {**settings, "dropout": 0.0, "attention_dropout": 0.0},
            "data": {"source": rows},
            "train": {"epochs": 24, "batch_size": 4, "lr": 0.005, "schedule": "constant"},
        },
        tmp_path / "run",
    )
    # By chance .11; with the group known and nothing else .59.
    assert result.metrics["loo-full"]["ndcg@10"] > 0.4
    session = seqzoo.load(tmp_path / "run").session()
    for item in ("3-0", "3-1", "3-4"):
        session.observe(item)
    assert {each.item for each in session.recommend(k=2)} == {"3-2", "3-3"}


def test_registration():
    spec = catalogue().architectures.get("bert4rec")
    assert (spec.plugin, spec.objective) == ("bert4rec", "masked-item")
    backbone = catalogue().backbones.get("bert4rec")
    assert not backbone.causal
    assert not backbone.streaming
    metrics = {(entry.data, entry.protocol) for entry in spec.published}
    assert ("ml-1m", "loo-recbole") in metrics


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "hidden_size is 16, which is not a multiple of num_heads = 3"),
        ({"num_layers": 0}, "'num_layers' is 0"),
        ({"attention_dropout": 1.0}, r"'attention_dropout' is 1\.0"),
        ({"mask_ratio": 1.5}, r"'mask_ratio' is 1\.5"),
        ({"mask_ratoi": 0.3}, "'model.mask_ratoi'; did you mean 'model.mask_ratio'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("bert4rec", **settings)


def test_with_the_next_item_as_objective_only_the_newest_position_trains(make):
    """At every other position a backbone that reads both sides would copy its target."""
    model = make("bert4rec", objective="next-item")
    assert model.objective.newest_only
    assert model.embedder.mask_vector is None
