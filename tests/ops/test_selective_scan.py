"""The scan against its equations, step by step in float64, in Mamba's own layout (A is [I, N])."""

import importlib

import pytest
import torch
from torch import Tensor

from seqzoo.ops import selective_scan, selective_scan_last
from tests.ops.leaves import gradients, leaves

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


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_outputs_and_gradients_in_float64(length, batch):
    inputs = leaves(arguments(batch, length))
    expected, _ = reference(*inputs)
    expected_gradients = gradients(expected, inputs)
    outputs = selective_scan(*inputs)
    # Both are float64 sums of at most 200 * 7 terms, in another order: a few thousand roundings.
    torch.testing.assert_close(outputs, expected, rtol=1e-11, atol=1e-12)
    for name, got, wanted in zip(
        NAMES, gradients(outputs, inputs), expected_gradients, strict=True
    ):
        torch.testing.assert_close(
            got, wanted, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("largest_step", [1.0, 50.0])
def test_outputs_and_gradients_in_float32(largest_step, backend):
    exact = leaves(arguments(3, 200, largest_step=largest_step))
    expected, _ = reference(*exact)
    expected_gradients = gradients(expected, exact)
    inputs = leaves(exact, torch.float32)
    outputs = selective_scan(*inputs, backend=backend)
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


@pytest.mark.parametrize(
    ("elements", "chunk"), [(1, 4), (7 * CHANNELS * STATES * 5, 5), (2**30, 64)]
)
def test_chunks_do_not_change_results(monkeypatch, elements, chunk):
    """Chunks of a length that divides none of 131 positions."""
    inputs = leaves(arguments(7, 131))
    lengths = torch.tensor([131, 130, 64, 5, 4, 3, 1])

    def everything() -> list[Tensor]:
        outputs = selective_scan(*inputs)
        with torch.inference_mode():
            last = selective_scan_last(*inputs[:4], lengths)
        return [outputs, last, *gradients(outputs, inputs)]

    ordinary = everything()
    sizes = set()
    states = module._chunk_states

    def watched(state: Tensor, step: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        sizes.add(len(step))
        return states(state, step, *rest)

    monkeypatch.setattr(module, "_chunk_states", watched)
    for constant in ("_CHUNK_ELEMENTS", "_LAST_ELEMENTS"):
        monkeypatch.setattr(module, constant, elements)
    for got, wanted in zip(everything(), ordinary, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)
    assert sizes == {chunk, 131 % chunk}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("largest_step", [1.0, 50.0])
def test_last_state_of_ragged_lengths(dtype, largest_step, backend):
    """In float32 as exact as step by step: no difference of large sums of steps is taken."""
    if (dtype, backend) == (torch.float64, "native"):
        pytest.skip("the native kernels take no float64")
    exact = arguments(7, 200, largest_step=largest_step)
    lengths = torch.tensor([200, 1, 2, 63, 64, 65, 199])
    _, states = reference(*exact)
    expected = states[torch.arange(7), lengths - 1].transpose(1, 2)
    with torch.inference_mode():
        last = selective_scan_last(*(tensor.to(dtype) for tensor in exact[:4]), lengths, backend)
    assert last.dtype == dtype
    bound = 1e-13 if dtype == torch.float64 else 1e-6
    assert (last - expected).abs().max() < bound * expected.abs().max()


def test_last_state_leaves_padding_out():
    x, step, decay, write, _ = arguments(7, 70)
    lengths = torch.tensor([70, 1, 2, 31, 64, 65, 69])
    padding = torch.arange(70) >= lengths[:, None]
    with torch.inference_mode():
        clean = selective_scan_last(x, step, decay, write, lengths)
        for tensor in (x, step, write):
            tensor[padding] = 1e6
        dirty = selective_scan_last(x, step, decay, write, lengths)
    assert torch.equal(clean, dirty)


@pytest.mark.parametrize("largest_step", [1e4, 1e-4])
def test_long_sequences_neither_overflow_nor_vanish(largest_step, backend):
    """A scan that divides by products of decays overflows from sums of about 88 on."""
    exact = arguments(1, 2000, largest_step=largest_step)
    expected, states = reference(*exact)
    inputs = leaves(exact, torch.float32)
    outputs = selective_scan(*inputs, backend=backend)
    assert (outputs - expected).abs().max() < 5e-6 * expected.abs().max()
    for gradient in gradients(outputs, inputs):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    with torch.inference_mode():
        last = selective_scan_last(*inputs[:4], torch.tensor([2000]), backend)
    assert (last[0] - states[0, -1].T).abs().max() < 1e-5 * states[0, -1].abs().max()


def test_the_state_starts_at_zero_and_rows_do_not_mix():
    inputs = arguments(4, 40)
    together = selective_scan(*inputs)
    for row in range(4):
        x, step, decay, write, read = inputs
        part = slice(row, row + 1)
        alone = selective_scan(x[part], step[part], decay, write[part], read[part])
        torch.testing.assert_close(together[part], alone, rtol=1e-13, atol=1e-13)
    first = (inputs[1] * inputs[0])[:, 0] * (inputs[3] * inputs[4])[:, 0].sum(-1, keepdim=True)
    torch.testing.assert_close(together[:, 0], first, rtol=1e-13, atol=1e-13)


def test_arguments_are_left_as_they_are():
    inputs = leaves(arguments(2, 70))
    copies = [tensor.detach().clone() for tensor in inputs]
    gradients(selective_scan(*inputs), inputs)
    with torch.inference_mode():
        selective_scan_last(*inputs[:4], torch.tensor([70, 3]))
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor.detach(), copy)
