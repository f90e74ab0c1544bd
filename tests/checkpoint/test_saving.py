"""Saving compares a model with what loading would build, before anything is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.model.sequence_model import SequenceModel
from tests.samples import make_model

HISTORY = ["item-1", "item-2", "item-3"]


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def first_linear(model: SequenceModel) -> nn.Linear:
    return next(module for module in model.modules() if isinstance(module, nn.Linear))


def longer_vocabulary(model: SequenceModel) -> None:
    items = [*model.vocabulary.items, "new"]
    labels = None if model.vocabulary.labels is None else [*model.vocabulary.labels, "New"]
    model.vocabulary = Vocabulary(items, labels)


def another_width(model: SequenceModel) -> None:
    linear = first_linear(model)
    linear.weight = nn.Parameter(torch.zeros(linear.out_features, linear.in_features + 1))


def changed_config(model: SequenceModel) -> None:
    model.config["dropout"] = 0.75


def weight_norm(model: SequenceModel) -> None:
    parametrizations.weight_norm(first_linear(model))


REFUSED: dict[str, tuple[Callable[[SequenceModel], object], tuple[str, ...]]] = {
    "double": (lambda model: model.double(), ("float64", "model.float()")),
    "half": (lambda model: model.half(), ("float16", "model.float()")),
    "one part in double": (lambda model: first_linear(model).double(), ("float64",)),
    "weight_norm": (weight_norm, ("original0", "different")),
    "an added submodule": (
        lambda model: model.backbone.add_module("extra", nn.Linear(2, 2)),
        ("backbone.extra.weight",),
    ),
    "an added buffer": (
        lambda model: model.backbone.register_buffer("mask", torch.ones(3)),
        ("backbone.mask",),
    ),
    "a removed submodule": (
        lambda model: setattr(model, "backbone", nn.Identity()),
        ("lacks backbone.",),
    ),
    "another width": (another_width, ("has shape",)),
    "a longer vocabulary": (longer_vocabulary, ("21 items", "built for 20")),
    "a shorter vocabulary": (
        lambda model: setattr(model, "vocabulary", Vocabulary(["a", "b"])),
        ("2 items", "built for 20"),
    ),
    "a changed config": (changed_config, ("config", "dropout", "seqzoo.create")),
    "NaN": (lambda model: first_linear(model).weight.data.fill_(torch.nan), ("NaN",)),
}


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "created"])
@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED)
def test_what_could_not_be_loaded_is_not_saved(folder, refused, change, said, loaded):
    before = everything(folder)
    model = SequenceModel.from_pretrained(folder) if loaded else make_model()
    change(model)
    with refused("cannot be saved", *said):
        model.save_pretrained(folder)
    assert everything(folder) == before
    SequenceModel.from_pretrained(folder)
    with refused("cannot be saved"):
        model.save_pretrained(folder.parent / "new")
    assert not (folder.parent / "new").exists()


def compiled(model: SequenceModel) -> None:
    model.backbone = torch.compile(model.backbone, backend="eager")


def compiled_inside(model: SequenceModel) -> None:
    name, child = next(iter(model.backbone.named_children()))
    setattr(model.backbone, name, torch.compile(child, backend="eager"))


def in_parallel(model: SequenceModel) -> None:
    model.backbone = nn.DataParallel(model.backbone)


def in_parallel_and_compiled(model: SequenceModel) -> None:
    model.backbone = torch.compile(nn.DataParallel(model.backbone), backend="eager")


@pytest.mark.parametrize("wrap", [compiled, compiled_inside, in_parallel, in_parallel_and_compiled])
def test_wrapped_models_are_saved_under_their_own_names(folder, wrap):
    model = SequenceModel.from_pretrained(folder)
    expected = model.recommend(HISTORY, k=5)
    names = list(model.state_dict())
    wrap(model)
    with torch.no_grad():
        next(model.parameters()).mul_(1.0)
    model.save_pretrained(folder)
    loaded = SequenceModel.from_pretrained(folder)
    assert list(loaded.state_dict()) == names
    assert loaded.recommend(HISTORY, k=5) == expected


def test_a_model_that_was_changed_back_is_saved(folder):
    model = SequenceModel.from_pretrained(folder)
    expected = model.recommend(HISTORY, k=5)
    model.double()
    model.float()
    model.save_pretrained(folder)
    assert SequenceModel.from_pretrained(folder).recommend(HISTORY, k=5) == expected


def test_only_a_checkpoint_error_comes_of_it(folder):
    model = SequenceModel.from_pretrained(folder)
    model.config["no such setting"] = object()
    before = everything(folder)
    with pytest.raises(CheckpointError, match="no such setting"):
        model.save_pretrained(folder)
    assert everything(folder) == before
