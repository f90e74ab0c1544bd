"""The hand-written scores of NARM against autograd on the plain formula."""

import pytest
import torch
from seqzoo_rnn.attention import additive_scores

from seqzoo.interfaces import SequenceBatch

ROWS, LENGTH, WIDTH = 3, 11, 6


def operands(dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    shapes = ((ROWS, LENGTH, WIDTH), (ROWS, LENGTH, WIDTH), (WIDTH,))
    return [
        torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in shapes
    ]


def plain(queries, keys, v):
    return (torch.sigmoid(queries[:, :, None] + keys[:, None]) * v).sum(-1)


@pytest.mark.parametrize("size", [1, 2, 4, 10, 11, 100])
def test_scores_and_gradients_by_chunks(size):
    theirs, ours = operands(), operands()
    draw = torch.Generator().manual_seed(1)
    weights = torch.randn(ROWS, LENGTH, LENGTH, generator=draw, dtype=torch.float64).tril()
    expected, found = plain(*theirs), additive_scores(*ours, size)
    torch.testing.assert_close(found.tril(), expected.tril(), rtol=1e-13, atol=1e-13)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    for one, other in zip(theirs, ours, strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-12, atol=1e-12)


def test_gradients_by_finite_differences():
    def scores(queries, keys, v):
        return additive_scores(queries, keys, v, 4).tril()

    assert torch.autograd.gradcheck(scores, operands())


def test_extreme_sums_stay_numbers():
    """A saturated sigmoid has a gradient of zero, and nothing overflows."""
    queries, keys, v = (torch.full_like(value, 300.0) for value in operands(torch.float32))
    for sign in (1.0, -1.0):
        given = [(sign * queries).requires_grad_(), (sign * keys).requires_grad_()]
        scores = additive_scores(*given, v, 4)
        scores.tril().sum().backward()
        assert scores.isfinite().all()
        assert not given[0].grad.any()
        assert not given[1].grad.any()


@pytest.mark.parametrize("attention", ["sum", "softmax"])
def test_nothing_is_kept_for_each_pair_and_each_channel(make, attention):
    """Memory for the backward pass is O(L^2) per history, not O(L^2 G)."""
    model = make("narm", gru_size=32, max_length=60, attention=attention).train()
    kept = []
    batch = SequenceBatch(torch.randint(1, 31, (2, 60)), torch.tensor([60, 60]))
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        model(batch)
    # The largest are both halves before the last matrix; a chunk of four pairs and channels is
    # twice as much.
    assert max(kept) <= 2 * 60 * 2 * 32


@pytest.mark.parametrize("attention", ["sum", "softmax"])
def test_chunks_change_gradients_by_rounding_alone(make, attention):
    draw = torch.Generator().manual_seed(2)
    items = torch.randint(1, 31, (4, 20), generator=draw)
    batch = SequenceBatch(items, torch.tensor([20, 1, 13, 7]))
    gradients = []
    for size in (1, 4, 7, 20):
        model = make("narm", gru_size=12, attention=attention, chunk_size=size).eval()
        model(batch)[batch.mask].square().sum().backward()
        gradients.append({n: value.grad for n, value in model.named_parameters()})
    for other in gradients[1:]:
        for name, expected in gradients[0].items():
            largest = float(expected.abs().max())
            assert (other[name] - expected).abs().max() <= 1e-5 * largest, name


@pytest.mark.parametrize("architecture", ["gru4rec", "narm"])
def test_mixed_precision(make, architecture):
    """bfloat16 has 8 significant bits."""
    model = make(architecture, gru_size=12).eval()
    batch = SequenceBatch.from_histories([[5, 1, 9, 9, 30], [3], [8, 2]])
    exact, exact_last = model(batch).detach(), model.last(batch).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, last = model(batch), model.last(batch)
        model.head.loss(mixed[batch.mask], batch.items[batch.mask]).backward()
    scale = float(exact[batch.mask].abs().max())
    assert (mixed - exact)[batch.mask].abs().max() < 0.05 * scale
    assert (last - exact_last).abs().max() < 0.05 * scale
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
