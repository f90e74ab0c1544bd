"""The conformance kit finds each planted fault of an objective and names it."""

import dataclasses
import itertools
import sys
import types

import numpy as np
import pytest
import torch

from seqzoo.objectives.masked import MaskedItem, with_mask
from seqzoo.objectives.rows import NextItem
from seqzoo.plugins import catalogue
from seqzoo.specs import PartSpec
from seqzoo.testing import check_registered


class Peeks(NextItem):
    """Trains on every position, for any backbone."""

    def __init__(self, config, backbone):
        super().__init__(config, backbone)
        self.newest_only = False


class KeepsItsTargets(MaskedItem):
    """The items that are to be predicted stay in the input."""

    def batch(self, sequences, windows, generator):
        inputs = super().batch(sequences, windows, generator)
        histories = inputs.main.histories
        items = torch.where(inputs.main.targets > 0, inputs.main.targets, histories.items)
        main = dataclasses.replace(
            inputs.main, histories=dataclasses.replace(histories, items=items)
        )
        return dataclasses.replace(inputs, main=main)


class DropsTheOldest(MaskedItem):
    """As RecBole's model: also where there is room for the mask."""

    def query(self, batch, max_length):
        read = with_mask(batch, max_length)
        lengths = (read.lengths - 1).clamp(min=1)
        return dataclasses.replace(read, items=read.items.roll(-1, 1), lengths=lengths)


class DrawsFromTheGlobalGenerator(MaskedItem):
    def batch(self, sequences, windows, generator):
        return super().batch(sequences, windows, np.random.default_rng(next(_numbers)))


class RefusesNothing(MaskedItem):
    def check(self, model):
        pass


class SaysNothingOfItsQuery(MaskedItem):
    changes_history = False


class TrainsOnNothing(NextItem):
    def loss(self, model, inputs):
        return model(inputs.main.histories).square().mean()


_numbers = itertools.count()


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Peeks, "targets are among the items of the whole history that their row reads"),
        (KeepsItsTargets, "targets are among the items of the whole history"),
        (DropsTheOldest, "only the oldest may be dropped, where there is no room"),
        (DrawsFromTheGlobalGenerator, "two epochs from the same generators differ"),
        (RefusesNothing, "needs 'mask', but a model that lacks it is built"),
        (SaysNothingOfItsQuery, "changes_history is False, but query() changes the history"),
        (TrainsOnNothing, "loss() never calls model.head.loss"),
    ],
)
def test_a_planted_fault_of_an_objective_is_caught(monkeypatch, objective, words):
    module = types.ModuleType("planted_objective")
    module.Objective = objective
    monkeypatch.setitem(sys.modules, "planted_objective", module)
    config = "MaskedItemConfig" if issubclass(objective, MaskedItem) else "NextItemConfig"
    spec = PartSpec(
        "planted", "tests", "planted_objective:Objective", f"seqzoo.parts.config:{config}"
    )
    monkeypatch.setitem(catalogue().objectives._specs, "planted", spec)
    (outcome,) = check_registered("planted")
    assert not outcome.ok
    assert words in outcome.message
