"""The conformance kit finds each planted fault and names it."""

import sys
import types

import pytest
import torch
from torch import nn

import seqzoo.testing
from seqzoo.cli.app import run
from seqzoo.errors import UnknownNameError
from seqzoo.interfaces import Embedder
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec, BackboneSpec, PartSpec
from seqzoo.testing import (
    ConformanceError,
    check_gradients,
    check_model,
    check_registered,
    small_model,
)
from tests.kit.faulty_backbones import FAULTS, Config, LeaksTheFuture, Sound


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


WITHOUT_CHECKS = ("seqzoo", "baselines", "mamba4rec", "sasrec")
"""Those whose own tests do not run the kit."""


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param(plugin, marks=() if plugin in WITHOUT_CHECKS else pytest.mark.slow)
        for plugin in sorted({spec.plugin for found in catalogue().registries() for spec in found})
    ],
)
def test_everything_that_is_registered_passes(plugin):
    everything = catalogue()
    names: list[str] = []
    for registry in everything.registries():
        if registry.kind not in ("architecture", "checkpoint"):
            names += [spec.name for spec in registry if spec.plugin == plugin]
    assert names
    before = everything.architectures.names()
    for name in dict.fromkeys(names):
        failed = [outcome for outcome in check_registered(name) if not outcome.ok]
        assert not failed, failed
    assert everything.architectures.names() == before, "what was made for a check is gone after it"


def test_an_unknown_name_shows_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'sasrec'"):
        check_registered("sasrek")


def test_the_command(capsys, plant, monkeypatch):
    monkeypatch.setattr("seqzoo.cli.check.missing_package", lambda: "onnx")
    assert run(["check", "sasrec", "model.num_layers=1"]) == 0
    assert "all checks passed" in capsys.readouterr().out
    assert run(["check", plant(LeaksTheFuture)]) == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "checks failed" in shown
    assert run(["check", "sasrec", "train.lr=3"]) == 2
    assert run(["check", "sasrec", "model.num_layrs=1"]) == 2


def test_the_earlier_name_of_a_check_still_works():
    assert seqzoo.testing.check_claims is seqzoo.testing.check_capabilities
