"""The conformance kit finds each planted fault and names it."""

import dataclasses
import itertools
import sys
import types
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from seqzoo.cli.app import run
from seqzoo.errors import UnknownNameError
from seqzoo.interfaces import Backbone, Embedder
from seqzoo.objectives.masked import MaskedItem, with_mask
from seqzoo.objectives.rows import NextItem
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec, BackboneSpec, PartSpec
from seqzoo.testing import (
    ConformanceError,
    check_gradients,
    check_model,
    check_registered,
    small_model,
)


@dataclass
class Config:
    hidden_size: int = 64


@dataclass
class UnevenConfig(Config):
    sizes: dict[int, int] = field(default_factory=lambda: {1: 2})


@dataclass
class OverriddenConfig(Config):
    """The embedder has this setting too, with another default."""

    norm_eps: float = 1e-5


class Sound(Backbone):
    """A decaying sum, which passes all checks."""

    causal = True
    streaming = True

    def __init__(self, config):
        super().__init__()
        self.mix = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden, batch):
        state, outputs = self.initial_state(len(hidden)), []
        for position in range(hidden.shape[1]):
            output, state = self.step(hidden[:, position], state, None)
            outputs.append(output)
        return torch.stack(outputs, 1)

    def initial_state(self, batch_size):
        return self.mix.weight.new_zeros(batch_size, len(self.mix.weight))

    def step(self, hidden, state, elapsed):
        state = 0.5 * state + hidden
        return self.mix(state), state


class LeaksTheFuture(Sound):
    streaming = False

    def forward(self, hidden, batch):
        return self.mix(hidden + hidden.flip(1).cumsum(1).flip(1))


class IgnoresPadding(Sound):
    causal = False
    streaming = False

    def forward(self, hidden, batch):
        return self.mix(hidden + hidden.mean(1, keepdim=True))


class StepDiffers(Sound):
    def forward(self, hidden, batch):
        return super().forward(hidden, batch) + 0.1 * hidden


class SharesState(Sound):
    """The state is kept in the module and modified in place."""

    def initial_state(self, batch_size):
        self.kept = super().initial_state(batch_size)
        return self.kept

    def step(self, hidden, state, elapsed):
        self.kept.mul_(0.5).add_(hidden)
        return self.mix(self.kept), self.kept


class WrongShape(Sound):
    def last(self, hidden, batch):
        return super().last(hidden, batch)[:, None]


class NotDeterministic(Sound):
    streaming = False

    def forward(self, hidden, batch):
        return nn.functional.dropout(super().forward(hidden, batch), 0.5, training=True)


class UnusedParameter(Sound):
    def __init__(self, config):
        super().__init__(config)
        self.forgotten = nn.Parameter(torch.ones(3))


class BreaksOnLengthOne(Sound):
    def forward(self, hidden, batch):
        if hidden.shape[1] == 1:
            raise RuntimeError("stack expects a non-empty list")
        return super().forward(hidden, batch)


class BreaksAtBatchOne(Sound):
    streaming = False

    def forward(self, hidden, batch):
        return self.mix(hidden.squeeze(0).cumsum(-2))


class ReadsTimes(Sound):
    def forward(self, hidden, batch):
        return super().forward(hidden, batch) * (1 + batch.timestamps[..., None] % 7)


class ClaimsTimes(Sound):
    uses_time = True


class LooksAheadInTraining(Sound):
    """In evaluation mode it is causal."""

    def forward(self, hidden, batch):
        outputs = super().forward(hidden, batch)
        return outputs + hidden.flip(1).cumsum(1).flip(1) if self.training else outputs


class NormalisesGaps(Sound):
    """Gaps relative to a statistic of the whole history, which a constant shift leaves alone."""

    streaming = False
    uses_time = True

    def forward(self, hidden, batch):
        gaps = batch.timestamps.diff(dim=1, prepend=batch.timestamps[:, :1]).float()
        real = gaps.masked_fill(~batch.mask, torch.nan)[:, 1:]
        scale = self.statistic(real)[:, None].clamp(min=1.0) if real.shape[1] else 1.0
        return super().forward(hidden * (1.0 + (gaps / scale).clamp(0, 10))[..., None], batch)


class DividesByTheSmallestGap(NormalisesGaps):
    def statistic(self, gaps):
        return gaps.nan_to_num(torch.inf).amin(1)


class DividesByTheLargestGap(NormalisesGaps):
    def statistic(self, gaps):
        return gaps.nan_to_num(0.0).amax(1)


class DividesByTheMedianGap(NormalisesGaps):
    def statistic(self, gaps):
        return gaps.nanmedian(1).values.nan_to_num(1.0)


class StateNotBatchFirst(Sound):
    def initial_state(self, batch_size):
        return super().initial_state(batch_size).T

    def step(self, hidden, state, elapsed):
        output, state = super().step(hidden, state.T, elapsed)
        return output, state.T


class StateOfSquareShape(Sound):
    """Three layers' sums [layers, B, D] where the kit has three users: the shape alone is right."""

    def initial_state(self, batch_size):
        return super().initial_state(batch_size).expand(3, -1, -1)

    def step(self, hidden, state, elapsed):
        output, newest = super().step(hidden, state[2] / 2.0, elapsed)
        scale = torch.arange(3.0)[:, None, None]
        return output, newest * scale


class StateWithACount(Sound):
    """A number of events for all users together, as a tensor."""

    def initial_state(self, batch_size):
        return super().initial_state(batch_size), torch.tensor(0)

    def step(self, hidden, state, elapsed):
        output, total = super().step(hidden, state[0], elapsed)
        return output, (total, state[1] + 1)


class GivesNanGradients(Sound):
    def forward(self, hidden, batch):
        return super().forward(hidden, batch) + 0.0 * (0.0 * self.mix.weight).sum().abs().sqrt()


class KeepsHiddenState(Sound):
    """A value that is neither a parameter nor a buffer, so it is not saved."""

    counter = itertools.count(1)

    def __init__(self, config):
        super().__init__(config)
        self.factor = next(self.counter)

    def step(self, hidden, state, elapsed):
        output, state = super().step(hidden, state, elapsed)
        return self.factor * output, state


FAULTS = [
    (LeaksTheFuture, Config, "causality", "causality"),
    (IgnoresPadding, Config, "padding invariance", "padding"),
    (StepDiffers, Config, "streaming", "step by step differs"),
    (SharesState, Config, "streaming", "streaming"),
    (WrongShape, Config, "lengths", "shape"),
    (NotDeterministic, Config, "determinism", "two passes"),
    (UnusedParameter, Config, "gradients", "forgotten"),
    (BreaksOnLengthOne, Config, "lengths", "non-empty list"),
    (BreaksAtBatchOne, Config, "batch invariance", "batch"),
    (Sound, UnevenConfig, "round trip", ""),
    (Sound, OverriddenConfig, "settings", "'norm_eps' is 1e-12 in 'item' and 1e-05 in 'planted'"),
    (ReadsTimes, Config, "claims", "uses_time is False"),
    (ClaimsTimes, Config, "claims", "uses_time is True"),
    (KeepsHiddenState, Config, "round trip", "scores differently"),
    (LooksAheadInTraining, Config, "causality", "in train mode, other items"),
    (DividesByTheSmallestGap, Config, "causality", "in evaluation mode, other timestamps"),
    (DividesByTheLargestGap, Config, "causality", "in evaluation mode, other timestamps"),
    (DividesByTheMedianGap, Config, "causality", "in evaluation mode, other timestamps"),
    (StateNotBatchFirst, Config, "streaming", "shape (16, 3); the first dimension must be"),
    (StateOfSquareShape, Config, "streaming", "reordered along the first dimension"),
    (StateWithACount, Config, "streaming", "shape (); the first dimension must be the batch"),
    (GivesNanGradients, Config, "gradients", "mix.weight' is NaN or infinite"),
]


@pytest.fixture
def plant(monkeypatch):
    """Register a backbone class for one test; its architecture's name."""

    def plant(backbone, config=Config, **more):
        module = types.ModuleType("planted")
        module.Backbone, module.Config = backbone, config
        monkeypatch.setitem(sys.modules, "planted", module)
        everything = catalogue()
        spec = BackboneSpec(
            "planted",
            "tests",
            "planted:Backbone",
            "planted:Config",
            causal=backbone.causal,
            streaming=backbone.streaming,
            uses_time=backbone.uses_time,
        )
        parts = {"embedder": "item", "head": "tied-softmax"} | more
        made = ArchitectureSpec("planted", "tests", backbone="planted", **parts)
        monkeypatch.setitem(everything.backbones._specs, "planted", spec)
        monkeypatch.setitem(everything.architectures._specs, "planted", made)
        return "planted"

    return plant


@pytest.fixture
def plant_embedder(monkeypatch):
    """Register an embedder class for one test; its name."""

    def plant_embedder(embedder):
        module = types.ModuleType("planted_embedder")
        module.Embedder, module.Config = embedder, Config
        monkeypatch.setitem(sys.modules, "planted_embedder", module)
        spec = PartSpec("planted", "tests", "planted_embedder:Embedder", "planted_embedder:Config")
        monkeypatch.setitem(catalogue().embedders._specs, "planted", spec)
        return "planted"

    return plant_embedder


def test_a_sound_backbone_passes(plant):
    assert all(outcome.ok for outcome in check_registered(plant(Sound)))


@pytest.mark.parametrize(
    ("backbone", "config", "check", "words"),
    FAULTS,
    ids=[f"{fault[0].__name__}-{fault[1].__name__}" for fault in FAULTS],
)
def test_a_planted_fault_is_caught(plant, backbone, config, check, words):
    failed = {o.check: o.message for o in check_registered(plant(backbone, config)) if not o.ok}
    assert check in failed or (check == "round trip" and "builds" in failed), failed
    assert any(words in message for message in failed.values()), failed
    assert all("\n" not in message for message in failed.values())


class Projected(Embedder):
    """Item features, zero until data arrive, behind a gate that starts closed.

    Its ``item_table`` is a property: it is computed from a parameter and the features.
    """

    def __init__(self, config, num_items):
        super().__init__()
        self.rows = nn.Parameter(0.02 * torch.randn(num_items + 1, config.hidden_size))
        self.register_buffer("features", torch.zeros(num_items + 1, 3))
        self.projection = nn.Linear(3, config.hidden_size, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    @property
    def item_table(self):
        return self.rows + self.gate * self.projection(self.features)

    def forward(self, batch):
        return self.item_table[batch.items]

    def step(self, items, state):
        return self.item_table[items], state


@pytest.mark.parametrize("head", ["tied-softmax", "cosine-softmax"])
def test_a_table_that_is_computed_passes_before_there_are_features(plant, plant_embedder, head):
    plant(Sound, embedder=plant_embedder(Projected), head=head)
    failed = [outcome for outcome in check_registered("planted") if not outcome.ok]
    assert not failed, failed


def test_a_parameter_behind_features_that_is_never_used_is_still_caught(plant, plant_embedder):
    class Forgetful(Projected):
        @property
        def item_table(self):
            return self.rows

    plant(Sound, embedder=plant_embedder(Forgetful))
    with pytest.raises(ConformanceError, match=r"embedder\.(gate|projection\.weight)"):
        check_gradients(small_model("planted"))


def test_a_recipe_that_cannot_be_trained_is_caught(plant):
    outcomes = check_registered(plant(Sound, recipe={"clip_nrm": 5.0}))
    (failed,) = [outcome for outcome in outcomes if not outcome.ok]
    assert "the recipe of architecture 'planted' cannot be trained" in failed.message
    assert "clip_norm" in failed.message


def test_check_model_raises_at_the_first(plant):
    with pytest.raises(ConformanceError, match="causality"):
        check_model(small_model(plant(LeaksTheFuture)))


def test_everything_that_is_registered_passes():
    everything = catalogue()
    names: list[str] = []
    for registry in everything.registries():
        if registry.kind not in ("architecture", "checkpoint"):
            names += registry.names()
    before = everything.architectures.names()
    for name in dict.fromkeys(names):
        failed = [outcome for outcome in check_registered(name) if not outcome.ok]
        assert not failed, failed
    assert everything.architectures.names() == before, "what was made for a check is gone after it"


def test_an_unknown_name_shows_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'sasrec'"):
        check_registered("sasrek")


def test_the_command(capsys, plant):
    assert run(["check", "sasrec", "model.num_layers=1"]) == 0
    assert "all checks passed" in capsys.readouterr().out
    assert run(["check", plant(LeaksTheFuture)]) == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "checks failed" in shown
    assert run(["check", "sasrec", "train.lr=3"]) == 2
    assert run(["check", "sasrec", "model.num_layrs=1"]) == 2


class Peeks(NextItem):
    """Trains on every position, whatever the backbone reads."""

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
