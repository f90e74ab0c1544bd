"""Contrastive objectives: InfoNCE and augmented views."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional

from seqzoo.data.batches import Windows
from seqzoo.data.build import build_sequences
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import LeaveOneOut
from seqzoo.data.synthetic import synthetic
from seqzoo.errors import ConfigError, SeqzooError
from seqzoo.interfaces import MASK
from seqzoo.objectives import WindowSettings, info_nce
from seqzoo.objectives.cl4srec import CROP, HIDE, REORDER, augmented
from seqzoo.zoo import create

LENGTHS = [1, 2, 3, 7, 20, 40]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
SEQUENCES = Sequences(
    np.arange(1, OFFSETS[-1] + 1, dtype=np.int32), np.arange(OFFSETS[-1]) * 60, OFFSETS
)
WHOLE = Windows(OFFSETS[:-1], np.diff(OFFSETS), np.zeros(len(LENGTHS), dtype=np.int64))
RATIOS = (0.6, 0.3, 0.6)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_info_nce_is_the_sum_of_its_definition(rows, cosine):
    torch.manual_seed(0)
    one, other = torch.randn(2, rows, 8, dtype=torch.float64)
    everyone = [*one, *other]
    similar = functional.cosine_similarity if cosine else lambda a, b, dim: a @ b
    losses = []
    for row in range(2 * rows):
        scores = [
            float(similar(everyone[row], everyone[i], dim=0)) / 0.5
            for i in range(2 * rows)
            if i != row
        ]
        partner = float(similar(everyone[row], everyone[(row + rows) % (2 * rows)], dim=0)) / 0.5
        losses.append(-partner + np.log(np.exp(scores).sum()))
    assert float(info_nce(one, other, 0.5, cosine)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_views_are_parts_masks_and_shuffles_of_copies(seed):
    draw = np.random.default_rng(seed)
    before = SEQUENCES.items.copy()
    for operation in (CROP, HIDE, REORDER):
        view = augmented(SEQUENCES, WHOLE, np.full(len(LENGTHS), operation), RATIOS, draw)
        for row, (start, length) in enumerate(zip(WHOLE.starts, WHOLE.lengths, strict=True)):
            whole = list(range(start + 1, start + length + 1))
            found = view.items[row, : view.lengths[row]].tolist()
            assert not view.items[row, view.lengths[row] :].any()
            times = view.timestamps[row, : view.lengths[row]].tolist()
            assert times == sorted(times)
            if length == 1:
                assert found == whole
            elif operation == CROP:
                assert found == list(range(found[0], found[0] + max(1, int(0.6 * length))))
                assert set(found) <= set(whole)
            elif operation == HIDE:
                assert found.count(MASK) == int(0.3 * length)
                assert all(a in (b, MASK) for a, b in zip(found, whole, strict=True))
            else:
                assert sorted(found) == whole
                moved = [place for place in range(length) if found[place] != whole[place]]
                assert not moved or moved[-1] - moved[0] < int(0.6 * length)
    assert (SEQUENCES.items == before).all()


def test_every_part_can_be_cropped_and_reordered():
    windows = Windows(np.full(3000, 33), np.full(3000, 5), np.zeros(3000, dtype=np.int64))
    draw = np.random.default_rng(0)
    crops = augmented(SEQUENCES, windows, np.full(3000, CROP), RATIOS, draw)
    assert set(map(tuple, crops.items.tolist())) == {(34, 35, 36), (35, 36, 37), (36, 37, 38)}
    shuffled = augmented(SEQUENCES, windows, np.full(3000, REORDER), RATIOS, draw)
    orders = Counter(map(tuple, shuffled.items.tolist()))
    # Three parts of three events, six orders of each; parts share those of their common events.
    assert len(orders) == 3 * 6 - (2 + 2 + 1) + 1
    assert min(orders.values()) > 50


@pytest.fixture(scope="module")
def data():
    return build_sequences(synthetic(users=60, items=20, mean_length=15)).sequences


def inputs_of(model, data):
    split, settings = LeaveOneOut().part(data, "train"), WindowSettings(8, 64)
    objective = model.objective.prepared(data, split, settings)
    windows = objective.plan(split, settings, np.random.default_rng(0))[0]
    return objective, windows, objective.batch(data, windows, np.random.default_rng(1))


def make(objective, **settings):
    torch.manual_seed(0)
    return create(
        "sasrec", num_items=20, hidden_size=8, max_length=8, objective=objective, **settings
    )


def test_cl4srec_contrasts_two_different_augmentations(data):
    model = make("cl4srec", contrast_weight=0.5).eval()
    objective, _, inputs = inputs_of(model, data)
    hidden = objective.main.encode(model, inputs.main.histories)
    alone = objective.main.loss_of(model, hidden, inputs)
    first, second = (model.last(inputs.views[name]) for name in ("first", "second"))
    expected = alone + 0.5 * info_nce(first, second)
    torch.testing.assert_close(objective.loss(model, inputs), expected, rtol=1e-5, atol=1e-5)
    assert (inputs.views["first"].items == MASK).any()


def test_contrast_around_the_masked_item():
    torch.manual_seed(0)
    options = {"main_objective": "masked-item", "main_options": {"mask_ratio": 0.4}}
    model = create("elastic", num_items=20, causal=False, objective="cl4srec", **options)
    assert model.objective.changes_history
    assert model.objective.main.mask_ratio == 0.4
    with pytest.raises(SeqzooError, match="'cl4srec' needs a non-causal backbone"):
        make("cl4srec", **options)
    with pytest.raises(ConfigError, match="contrastive itself"):
        make("cl4srec", main_objective="cl4srec")
    with pytest.raises(ConfigError, match=r"unknown setting 'model.main_options.mask_ratoi'"):
        make("cl4srec", main_objective="masked-item", main_options={"mask_ratoi": 1})
    with pytest.raises(ConfigError, match="expected one of: dot, cosine"):
        make("cl4srec", contrast_similarity="cos")
