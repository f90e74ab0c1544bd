"""TiSASRec with buckets of intervals against the direct form in float64."""

import pytest
import torch

from seqzoo.interfaces import SequenceBatch

SETTINGS = pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_layers": 1, "num_heads": 2, "unit": 1},
        {"num_layers": 3, "num_heads": 4, "unit": 3600, "max_interval": 5},
        {"scale": "user_min", "num_heads": 2, "max_interval": 40},
        {"position_order": "newest"},
        {"position_order": "newest", "scale": "user_min", "num_heads": 2},
        {"position_order": "newest", "mask_padded_keys": False, "num_heads": 2},
        {"position_order": "newest", "mask_padded_keys": False, "scale": "user_min"},
    ],
    ids=str,
)


def copies(module):
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def pairs(ours, theirs):
    return {name: (theirs[name], value) for name, value in ours.named_parameters()}


@SETTINGS
@pytest.mark.parametrize("lengths", [[19, 1, 2, 11], [20], [1, 1]])
def test_vectors_with_gradients(settings, lengths, make, shake, compare, equations, histories):
    ours = shake(make("tisasrec", **settings)).eval()
    theirs = copies(ours)
    batch = histories(lengths)
    direct = equations(**settings)
    expected = torch.cat(direct.model(batch, theirs))
    compare(expected, ours(batch)[batch.mask], pairs(ours, theirs))
    newest = torch.stack([vectors[-1] for vectors in direct.model(batch, theirs)])
    compare(newest, ours.last(batch), pairs(ours, theirs))


@SETTINGS
def test_without_timestamps_all_intervals_are_zero(
    settings, make, shake, compare, equations, histories
):
    ours = shake(make("tisasrec", **settings)).eval()
    theirs = copies(ours)
    batch = histories([7, 20, 1])
    batch = SequenceBatch(batch.items, batch.lengths)
    expected = equations(**settings).model(batch, theirs)
    compare(torch.cat(expected), ours(batch)[batch.mask], pairs(ours, theirs))


@pytest.mark.parametrize("settings", [{"num_heads": 2}, {"position_order": "newest"}], ids=str)
def test_dropout_is_where_the_public_code_has_it(
    settings, make, shake, compare, equations, histories, patterned_dropout
):
    """Events, vectors of positions, attention weights, feed-forward layer; also the tables of
    intervals; every history has its own."""
    ours = shake(make("tisasrec", max_interval=30, **settings))
    theirs = copies(ours)
    batch = histories([13, 13, 13])
    direct = equations(max_interval=30, drop=patterned_dropout, **settings)
    expected = direct.model(batch, theirs)
    compare(torch.cat(expected), ours(batch)[batch.mask], pairs(ours, theirs))


def test_dropout_of_histories_differs(make):
    """Two equal histories of one batch get other masks, in every tensor that has dropout."""
    model = make("tisasrec", dropout=0.5, attention_dropout=0.0)
    batch = SequenceBatch(
        torch.tensor([[3, 4, 5]] * 2), torch.tensor([3, 3]), torch.tensor([[0, 60, 600]] * 2)
    )
    window = model.backbone._window(model.embedder(batch), batch)
    relations, positions = (
        model.backbone._relations(window),
        model.backbone._position_vectors(window),
    )
    for values in (relations.keys, relations.values, *positions):
        assert not torch.equal(values[0], values[1])


@pytest.mark.parametrize("settings", [{}, {"num_heads": 2, "unit": 1, "num_layers": 3}], ids=str)
@torch.inference_mode()
def test_steps_are_the_whole(settings, make, shake, histories):
    model = shake(make("tisasrec", **settings)).eval()
    batch = histories([20, 20, 20])
    expected = model(batch)
    state = model.backbone.initial_state(3)
    for t in range(20):
        vectors, _ = model.embedder.step(batch.items[:, t], None)
        elapsed = batch.timestamps[:, t] - batch.timestamps[:, max(t - 1, 0)]
        hidden, state = model.backbone.step(vectors, state, elapsed)
        torch.testing.assert_close(hidden, expected[:, t], rtol=1e-11, atol=1e-11)
