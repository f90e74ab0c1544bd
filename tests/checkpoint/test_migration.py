"""A plugin that has changed brings older checkpoints up to date, or says that it cannot."""

import dataclasses
import sys
import types

import pytest
import torch

from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from tests.samples import reseal


@pytest.fixture
def older(folder, model):
    """The checkpoint as another version of the plugin would have saved it."""

    def edit(document):
        document["plugin"]["version"] = "0.0.9"
        document["config"]["width"] = document["config"].pop("hidden_size")

    reseal(folder, edit)
    return folder


@pytest.fixture
def migrate(monkeypatch, model):
    """Register a function as the architecture's migration."""

    def migrate(function):
        module = types.ModuleType("migrations")
        module.migrate = function
        monkeypatch.setitem(sys.modules, "migrations", module)
        registry = catalogue().architectures
        spec = registry.get(model.architecture)
        changed = dataclasses.replace(spec, migration="migrations:migrate")
        monkeypatch.setitem(registry._specs, spec.name, changed)

    return migrate


def test_without_a_migration_the_message_says_what_to_install(older, refused):
    with refused("width", "pip install 'seqzoo==0.0.9'"):
        SequenceModel.from_pretrained(older)


def test_settings_and_weights_are_brought_up_to_date(older, model, migrate):
    seen = []

    def rename(config, weights, version):
        seen.append(version)
        config["hidden_size"] = config.pop("width")
        return config, {name: tensor * 1 for name, tensor in weights.items()}

    migrate(rename)
    loaded = SequenceModel.from_pretrained(older)
    assert seen == ["0.0.9"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_migration_that_fails_says_both_versions(older, migrate, refused):
    migrate(lambda config, weights, version: config["no such setting"])
    with refused("was saved with seqzoo 0.0.9", "KeyError", "pip install 'seqzoo==0.0.9'"):
        SequenceModel.from_pretrained(older)


def test_the_same_version_needs_none(folder, migrate):
    migrate(lambda config, weights, version: 1 / 0)
    SequenceModel.from_pretrained(folder)
