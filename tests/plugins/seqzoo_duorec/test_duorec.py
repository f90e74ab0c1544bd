"""The objective duorec by its definition, and the architecture of the same name."""

from collections import Counter
from typing import ClassVar

import numpy as np
import pytest
import torch
from seqzoo_duorec.objective import SameTarget

import seqzoo
from seqzoo.data.build import build_sequences
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import LeaveOneOut
from seqzoo.data.synthetic import synthetic
from seqzoo.errors import ConfigError
from seqzoo.objectives import WindowSettings, info_nce
from seqzoo.plugins import catalogue
from seqzoo.testing import ArchitectureCases, check_objective
from seqzoo.zoo import create

LENGTHS = [1, 2, 3, 7, 20, 40]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
SEQUENCES = Sequences(
    np.arange(1, OFFSETS[-1] + 1, dtype=np.int32), np.arange(OFFSETS[-1]) * 60, OFFSETS
)


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, causality, padding, batches, streaming, gradients, seeds, saving."""

    architecture = "duorec"
    settings: ClassVar = {"hidden_size": 16, "inner_size": 32}


def test_the_objective_conforms():
    check_objective("duorec")


@pytest.fixture(scope="module")
def data():
    return build_sequences(synthetic(users=60, items=20, mean_length=15)).sequences


def test_same_target_histories_are_drawn_from_all_others(data):
    split = LeaveOneOut().part(data, "train")
    index = SameTarget.of(data, split)
    targets = np.concatenate(
        [
            np.arange(start + 1, end)
            for start, end in zip(split.history_start, split.history_end, strict=True)
        ]
    )
    assert sorted(index.positions.tolist()) == targets.tolist()
    target = targets[100]
    expected = set(targets[data.items[targets] == data.items[target]].tolist()) - {int(target)}
    draw = np.random.default_rng(0)
    drawn = index.others(data, np.full(40_000, target), draw)
    counts = Counter(drawn.tolist())
    assert set(counts) == expected
    assert max(counts.values()) < 2 * min(counts.values())
    begins = index.begin_of(drawn)
    users = np.searchsorted(data.offsets, drawn, side="right") - 1
    assert (begins == data.offsets[users]).all()


def test_a_target_without_others_is_its_own_positive():
    split = LeaveOneOut().part(SEQUENCES, "train")
    index = SameTarget.of(SEQUENCES, split)
    targets = np.array([OFFSETS[4] + 3, OFFSETS[5] + 1])
    found = index.others(SEQUENCES, targets, np.random.default_rng(0))
    assert found.tolist() == targets.tolist()


def make(**settings):
    torch.manual_seed(0)
    return create("duorec", num_items=20, hidden_size=8, max_length=8, **settings)


def inputs_of(model, data):
    split, settings = LeaveOneOut().part(data, "train"), WindowSettings(8, 64)
    objective = model.objective.prepared(data, split, settings)
    windows = objective.plan(split, settings, np.random.default_rng(0))[0]
    return objective, windows, objective.batch(data, windows, np.random.default_rng(1))


@pytest.mark.parametrize("main", ["next-item", "next-item-last"])
@pytest.mark.parametrize("pairs", ["dropout", "same-target", "both", "crossed"])
def test_duorec_adds_info_nce_to_the_main_loss(data, main, pairs):
    model = make(main_objective=main, contrast_pairs=pairs, contrast_temperature=0.5)
    objective, windows, inputs = inputs_of(model.eval(), data)
    hidden = objective.main.encode(model, inputs.main.histories)
    alone = objective.main.loss_of(model, hidden, inputs)
    newest = model.last(inputs.main.histories)
    if pairs == "dropout":
        assert not inputs.views
        # Without dropout the passes are alike.
        term = info_nce(newest, newest, 0.5)
    else:
        view = inputs.views["same-target"]
        following = windows.starts + windows.lengths
        wanted = data.items[following]
        for row, length in enumerate(view.lengths.tolist()):
            history = view.items[row, :length].tolist()
            followed = [
                data.items[max(0, place - length) : place].tolist()
                for place in np.flatnonzero(data.items == wanted[row])
            ]
            assert history in followed, "the history is one that the same item follows"
        term = info_nce(newest, model.last(view), 0.5)
        if pairs == "both":
            term = term + info_nce(newest, newest, 0.5)
    expected = alone + 0.1 * term
    torch.testing.assert_close(objective.loss(model, inputs), expected, rtol=1e-5, atol=1e-5)


def test_the_model_does_not_keep_the_index_of_the_data(data):
    model = make()
    objective, _, _ = inputs_of(model, data)
    assert (model.objective.index, objective.index is None) == (None, False)


def test_passes_of_one_history_differ_by_their_dropout(data):
    model = make(contrast_pairs="dropout").train()
    objective, _, inputs = inputs_of(model, data)
    hidden = objective.main.encode(model, inputs.main.histories)
    ((one, other),) = objective.pairs(model, hidden, inputs)
    assert not torch.allclose(one, other, atol=1e-3)
    assert torch.equal(one, inputs.main.histories.gather_last(hidden))


def test_training_reaches_every_parameter(data):
    model = make(contrast_weight=1.0).train()
    objective, _, inputs = inputs_of(model, data)
    objective.loss(model, inputs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_it_is_sasrec_with_another_objective():
    """Settings, names, shapes and, from one seed, values."""
    spec, sasrec = (catalogue().architectures.get(name) for name in ("duorec", "sasrec"))
    assert (spec.plugin, spec.objective) == ("duorec", "duorec")
    assert (spec.embedder, spec.backbone, spec.head) == (
        sasrec.embedder,
        sasrec.backbone,
        sasrec.head,
    )
    torch.manual_seed(0)
    other = create("sasrec", num_items=20, hidden_size=8, max_length=8)
    ours = make()
    for (name, value), (same, again) in zip(
        ours.state_dict().items(), other.state_dict().items(), strict=True
    ):
        assert name == same
        assert torch.equal(value, again), name
    assert spec.importer == sasrec.importer


def test_it_trains_and_streams(tmp_path):
    rows = [(f"u{u}", f"i{(u + t) % 12}", 60 * t) for u in range(24) for t in range(12)]
    recipe = {
        "architecture": "duorec",
        "model": {"hidden_size": 16, "max_length": 10, "contrast_weight": 0.2},
        "data": {"source": rows},
        "train": {"epochs": 2, "batch_size": 4},
    }
    seqzoo.train(recipe, tmp_path / "run")
    model = seqzoo.load(tmp_path / "run")
    assert model.parts["objective"] == "duorec"
    assert (model.config["contrast_weight"], model.config["contrast_pairs"]) == (0.2, "crossed")
    session = model.session()
    for item in ("i3", "i4"):
        session.observe(item)
    expected = model.encode([["i3", "i4"]])[0]
    torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)


def test_other_architectures_take_the_objective():
    for architecture in ("gru4rec", "mamba4rec"):
        model = create(architecture, num_items=9, objective="duorec", contrast_pairs="both")
        assert model.parts["objective"] == "duorec"


def test_wrong_settings():
    with pytest.raises(ConfigError, match="histories with the same next item"):
        make(main_objective="masked-item")
    with pytest.raises(ConfigError, match="contrastive itself"):
        make(main_objective="duorec")
    with pytest.raises(ConfigError, match="expected one of: dropout, same-target, both, crossed"):
        make(contrast_pairs="all")
    with pytest.raises(ConfigError, match=r"'contrast_temperature' is 0\.0"):
        make(contrast_temperature=0.0)
    with pytest.raises(ConfigError, match=r"'model\.contrast_pair'; did you mean"):
        make(contrast_pair="both")
