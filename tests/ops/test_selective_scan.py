"""The scan against its equations, step by step in float64, in Mamba's own layout (A is [I, N])."""

import importlib

import pytest
import torch
from torch import Tensor

from seqzoo.ops import selective_scan, selective_scan_last

CHANNELS, STATES = 6, 5
NAMES = ("x", "step", "decay", "write", "read")

# `seqzoo.ops.selective_scan` is the function; the module of that name holds the constants.
module = importlib.import_module("seqzoo.ops.selective_scan")


def reference(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor):
    """Outputs [B, L, I] and the state after every position [B, L, I, N]."""
    rates = decay.T
    outputs, states = [], []
    for row in range(len(x)):
        state = torch.zeros_like(rates)
        for t in range(x.shape[1]):
            state = (
                torch.exp(step[row, t][:, None] * rates) * state
                + (step[row, t] * x[row, t])[:, None] * write[row, t][None, :]
            )
            states.append(state)
            outputs.append(state @ read[row, t])
    shape = x.shape[:2]
    return torch.stack(outputs).unflatten(0, shape), torch.stack(states).unflatten(0, shape)


def arguments(batch: int, length: int, seed: int = 0, largest_step: float = 1.0) -> list[Tensor]:
    """Float64 arguments whose steps spread over four orders of magnitude."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    spread = torch.rand(batch, length, CHANNELS, generator=draw, dtype=torch.float64)
    return [
        normal(batch, length, CHANNELS),
        largest_step * 10.0 ** (-4.0 * spread),
        -torch.exp(normal(STATES, CHANNELS)),
        normal(batch, length, STATES),
        normal(batch, length, STATES),
    ]


def gradients(outputs: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1.0, 2.0, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return torch.autograd.grad((outputs * weights).sum(), inputs)


def leaves(tensors: list[Tensor], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [tensor.to(dtype).detach().clone().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_outputs_and_gradients_in_float64(length, batch):
    inputs = leaves(arguments(batch, length))
    expected, _ = reference(*inputs)
    expected_gradients = gradients(expected, inputs)
    outputs = selective_scan(*inputs)
    # Both are float64 sums of at most 200 * 7 terms, in another order: a few thousand roundings.
    torch.testing.assert_close(outputs, expected, rtol=1e-11, atol=1e-12)
    for name, got, wanted in zip(NAMES, gradients(outputs, inputs), expected_gradients, strict=True):
        torch.testing.assert_close(
            got, wanted, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("largest_step", [1.0, 50.0])
def test_outputs_and_gradients_in_float32(largest_step):
    exact = leaves(arguments(3, 200, largest_step=largest_step))
    expected, _ = reference(*exact)
    expected_gradients = gradients(expected, exact)
    inputs = leaves(exact, torch.float32)
    outputs = selective_scan(*inputs)
    for got, wanted in zip(
        (outputs, *gradients(outputs, inputs)), (expected, *expected_gradients), strict=True
    ):
        assert got.dtype == torch.float32
        # float32 rounds at 6e-8; the terms of the longest sums cancel to a part of their size.
        assert (got - wanted).abs().max() < 5e-6 * wanted.abs().max()


def test_gradcheck_over_several_chunks(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 1)
    x, step, decay, write, read = arguments(2, 9)
    inputs = leaves([x[..., :3], step[..., :3], decay[:2, :3], write[..., :2], read[..., :2]])
    # As the model passes it: the transpose of a contiguous [I, N].
    inputs[2] = inputs[2].detach().T.contiguous().T.requires_grad_()
    assert torch.autograd.gradcheck(selective_scan, inputs)


@pytest.mark.parametrize("elements", [1, 7 * CHANNELS * STATES * 5, 2**30])
def test_chunks_do_not_change_results(monkeypatch, elements):
    """Chunks of 4, 5 and 64 positions, of a length that none of them divides."""
    inputs = leaves(arguments(7, 131))
    ordinary = selective_scan(*inputs)
    ordinary_gradients = gradients(ordinary, inputs)
    lengths = torch.tensor([131, 130, 64, 5, 4, 3, 1])
    ordinary_last = selective_scan_last(*inputs[:4], lengths) if False else _last(inputs, lengths)
    for constant in ("_CHUNK_ELEMENTS", "_LAST_ELEMENTS"):
        monkeypatch.setattr(module, constant, elements)
    outputs = selective_scan(*inputs)
    torch.testing.assert_close(outputs, ordinary, rtol=1e-13, atol=1e-13)
    for got, wanted in zip(gradients(outputs, inputs), ordinary_gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(_last(inputs, lengths), ordinary_last, rtol=1e-13, atol=1e-13)
