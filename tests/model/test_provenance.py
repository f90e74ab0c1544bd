"""A model that was loaded and changed does not keep facts about the old weights."""

import copy
import logging

import pytest
import torch

from seqzoo.checkpoint.manifest import read_manifest, read_metrics, read_recipe
from seqzoo.model.sequence_model import SequenceModel
from tests.samples import METRICS, RECIPE


def stored(folder):
    manifest = read_manifest(folder)
    return dict(read_recipe(manifest)), dict(read_metrics(manifest))


@pytest.fixture
def changed(folder):
    model = SequenceModel.from_pretrained(folder)
    with torch.no_grad():
        next(iter(model.parameters())).data += 0.1
    return model


def test_the_same_weights_keep_their_recipe_and_metrics(folder, tmp_path, caplog):
    model = SequenceModel.from_pretrained(folder)
    model.recommend(["item-1"], k=3)
    copy.deepcopy(model).train().save_pretrained(tmp_path / "again")
    assert stored(tmp_path / "again") == (RECIPE, METRICS)
    assert not caplog.records


def test_changed_weights_lose_both_with_a_warning(changed, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "seqzoo"):
        copy.deepcopy(changed).save_pretrained(tmp_path / "mine")
    assert stored(tmp_path / "mine") == ({}, {})
    assert "the old recipe and metrics are not saved with them; `seqzoo eval`" in caplog.text
    assert changed.metrics == METRICS


def test_one_step_of_an_optimizer_is_a_change(folder, tmp_path):
    model = SequenceModel.from_pretrained(folder)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model.embedder.item_table.square().sum().backward()
    optimizer.step()
    model.save_pretrained(tmp_path / "mine")
    assert stored(tmp_path / "mine") == ({}, {})


def test_new_values_are_used(changed, tmp_path, caplog):
    metrics = copy.deepcopy(METRICS)
    metrics["loo-full"]["metrics"]["hit@10"] = 0.5
    changed.metrics = metrics
    with caplog.at_level(logging.WARNING, "seqzoo"):
        changed.save_pretrained(tmp_path / "mine")
    assert stored(tmp_path / "mine") == ({}, metrics)
    assert "the old recipe is not saved with them" in caplog.text
