"""The blockwise cross-entropy against torch's own in float64."""

import importlib

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops import linear_cross_entropy

ROWS, CLASSES, WIDTH = 150, 37, 8

module = importlib.import_module("seqzoo.ops.linear_cross_entropy")


def arguments(rows: int = ROWS, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(rows)
    hidden = scale * torch.randn(rows, WIDTH, generator=draw, dtype=torch.float64)
    table = torch.randn(CLASSES, WIDTH, generator=draw, dtype=torch.float64)
    targets = torch.randint(0, CLASSES, (rows,), generator=draw)
    return hidden.requires_grad_(), table.requires_grad_(), targets


@pytest.fixture(params=[None, 1], ids=["one block", "blocks of 64 rows"])
def blocks(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(module, "_BLOCK_ELEMENTS", request.param)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("rows", [1, 64, 65, ROWS])
@pytest.mark.usefixtures("blocks")
def test_loss_and_gradients(rows, smoothing):
    hidden, table, targets = arguments(rows)
    expected = functional.cross_entropy(hidden @ table.T, targets, label_smoothing=smoothing)
    wanted = torch.autograd.grad(3.0 * expected, (hidden, table))
    loss = linear_cross_entropy(hidden, table, targets, smoothing)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=1e-13)
    # The factor 3: what comes after the loss must reach the gradients.
    for got, want in zip(torch.autograd.grad(3.0 * loss, (hidden, table)), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-14)


def test_blocks_are_really_several(monkeypatch):
    """Rows of different blocks add up in the table's gradient: the test above would see it."""
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 1)
    calls = []
    exponential = Tensor.exp_

    def counted(scores: Tensor) -> Tensor:
        calls.append(len(scores))
        return exponential(scores)

    monkeypatch.setattr(Tensor, "exp_", counted)
    linear_cross_entropy(*arguments(), 0.0)
    assert calls == [64, 64, 22]


def test_gradcheck():
    hidden, table, targets = arguments(5)
    assert torch.autograd.gradcheck(
        lambda hidden, table: linear_cross_entropy(hidden, table, targets, 0.2), (hidden, table)
    )


@pytest.mark.usefixtures("blocks")
def test_scores_beyond_the_range_of_exp():
    """Scores of thousands: exp of them overflows, the loss does not."""
    hidden, table, targets = arguments(scale=1e3)
    expected = functional.cross_entropy(hidden @ table.T, targets)
    wanted = torch.autograd.grad(expected, (hidden, table))
    single = [tensor.detach().float().requires_grad_() for tensor in (hidden, table)]
    loss = linear_cross_entropy(*single, targets)
    # Scores of about 3000 are rounded to 2e-4 in float32, where the largest ones decide.
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    for got, want in zip(torch.autograd.grad(loss, single), wanted, strict=True):
        assert got.isfinite().all()
        assert (got - want).abs().max() < 1e-3 * want.abs().max()


def test_arguments_are_left_as_they_are_and_need_no_gradient():
    hidden, table, targets = (tensor.detach() for tensor in arguments())
    copies = hidden.clone(), table.clone()
    loss = linear_cross_entropy(hidden, table, targets)
    assert not loss.requires_grad
    assert torch.equal(hidden, copies[0])
    assert torch.equal(table, copies[1])
