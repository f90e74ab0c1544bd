"""Contrastive objectives: InfoNCE, augmented views, and histories with the same target."""

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
from seqzoo.objectives.duorec import SameTarget
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


def test_a_target_without_others_stands_for_itself():
    split = LeaveOneOut().part(SEQUENCES, "train")
    index = SameTarget.of(SEQUENCES, split)
    targets = np.array([OFFSETS[4] + 3, OFFSETS[5] + 1])
    found = index.others(SEQUENCES, targets, np.random.default_rng(0))
    assert found.tolist() == targets.tolist()


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


@pytest.mark.parametrize("main", ["next-item", "next-item-last"])
@pytest.mark.parametrize("pairs", ["dropout", "same-target", "both", "crossed"])
def test_duorec_adds_info_nce_to_the_main_loss(data, main, pairs):
    model = make("duorec", main_objective=main, contrast_pairs=pairs, contrast_temperature=0.5)
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


def test_cl4srec_contrasts_two_different_augmentations(data):
    model = make("cl4srec", contrast_weight=0.5).eval()
    objective, _, inputs = inputs_of(model, data)
    hidden = objective.main.encode(model, inputs.main.histories)
    alone = objective.main.loss_of(model, hidden, inputs)
    first, second = (model.last(inputs.views[name]) for name in ("first", "second"))
    expected = alone + 0.5 * info_nce(first, second)
    torch.testing.assert_close(objective.loss(model, inputs), expected, rtol=1e-5, atol=1e-5)
    assert (inputs.views["first"].items == MASK).any()


def test_the_model_does_not_keep_the_index_of_the_data(data):
    model = make("duorec")
    objective, _, _ = inputs_of(model, data)
    assert (model.objective.index, objective.index is None) == (None, False)


def test_contrast_around_the_masked_item():
    torch.manual_seed(0)
    options = {"main_objective": "masked-item", "main_options": {"mask_ratio": 0.4}}
    model = create("elastic", num_items=20, causal=False, objective="cl4srec", **options)
    assert model.objective.changes_history
    assert model.objective.main.mask_ratio == 0.4
    with pytest.raises(SeqzooError, match="'cl4srec' needs a non-causal backbone"):
        make("cl4srec", **options)
    with pytest.raises(ConfigError, match="histories with the same next item"):
        make("duorec", main_objective="masked-item")
    with pytest.raises(ConfigError, match="contrastive itself"):
        make("cl4srec", main_objective="duorec")
    with pytest.raises(ConfigError, match=r"unknown setting 'model.main_options.mask_ratoi'"):
        make("cl4srec", main_objective="masked-item", main_options={"mask_ratoi": 1})
    with pytest.raises(ConfigError, match="expected one of: dropout, same-target, both, crossed"):
        make("duorec", contrast_pairs="all")
