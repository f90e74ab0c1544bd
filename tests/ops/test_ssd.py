"""The layer against its equations, step by step in float64."""

import pytest
import torch
from torch import Tensor

from seqzoo.ops import ssd, ssd_last, ssd_step
from tests.ops.leaves import gradients, leaves

HEADS, WIDTH, STATES = 3, 4, 5
NAMES = ("x", "step", "decay", "write", "read")
# With native kernels every position rounds the state once; torch rounds it once a chunk.
BOUNDS = {"torch": 2e-6, "native": 5e-6}


def reference(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor):
    """Outputs [B, L, H, P] and the state after every position [B, L, H, P, N]."""
    state = torch.zeros(len(x), *x.shape[2:], write.shape[-1], dtype=x.dtype)
    outputs, states = [], []
    for t in range(x.shape[1]):
        kept = torch.exp(step[:, t] * decay)[..., None, None]
        added = step[:, t, :, None, None] * x[:, t, ..., None] * write[:, t, None, None, :]
        state = kept * state + added
        states.append(state)
        outputs.append((state * read[:, t, None, None, :]).sum(-1))
    return torch.stack(outputs, 1), torch.stack(states, 1)


def arguments(batch: int, length: int, seed: int = 0, largest_step: float = 1.0) -> list[Tensor]:
    """Float64 arguments whose steps spread over four orders of magnitude."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    spread = torch.rand(batch, length, HEADS, generator=draw, dtype=torch.float64)
    return [
        normal(batch, length, HEADS, WIDTH),
        largest_step * 10.0 ** (-4.0 * spread),
        -torch.exp(normal(HEADS)),
        normal(batch, length, STATES),
        normal(batch, length, STATES),
    ]


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_outputs_and_gradients_in_float64(length, batch):
    inputs = leaves(arguments(batch, length))
    expected, _ = reference(*inputs)
    expected_gradients = gradients(expected, inputs)
    outputs = ssd(*inputs)
    # Both are float64 sums of at most 200 * 7 terms, in another order: a few thousand roundings.
    torch.testing.assert_close(outputs, expected, rtol=1e-11, atol=1e-12)
    for name, got, wanted in zip(
        NAMES, gradients(outputs, inputs), expected_gradients, strict=True
    ):
        torch.testing.assert_close(
            got, wanted, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("largest_step", [1.0, 50.0])
def test_outputs_and_gradients_in_float32(backend, largest_step):
    """As good with large steps as with small ones: no difference of running sums is taken."""
    exact = leaves(leaves(arguments(3, 200, largest_step=largest_step), torch.float32))
    expected, _ = reference(*exact)
    expected_gradients = gradients(expected, exact)
    inputs = leaves(exact, torch.float32)
    outputs = ssd(*inputs, backend=backend)
    for got, wanted in zip(
        (outputs, *gradients(outputs, inputs)), (expected, *expected_gradients), strict=True
    ):
        assert got.dtype == torch.float32
        # float32 rounds at 6e-8; the terms of the longest sums cancel to a part of their size.
        assert (got - wanted).abs().max() < BOUNDS[backend] * wanted.abs().max()


def test_gradcheck_over_several_chunks():
    x, step, decay, write, read = arguments(2, 7)
    inputs = leaves([x[..., :2, :2], step[..., :2], decay[:2], write[..., :2], read[..., :2]])
    assert torch.autograd.gradcheck(lambda *given: ssd(*given, chunk_size=3), inputs)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 131, 1000])
def test_chunks_do_not_change_results(size):
    """131 positions, which no size between divides; one chunk of all is the quadratic form."""
    exact = arguments(7, 131, largest_step=5.0)
    for dtype, bound in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        inputs = leaves(exact, dtype)
        ordinary, other = ssd(*inputs), ssd(*inputs, chunk_size=size)
        # A result is a sum of at most some 40 terms that matter, rounded 2^-24 each: 1e-6 of the
        # largest. The gradients of rates sum over all positions and are cancelling: ten times that.
        assert (other - ordinary).abs().max() <= bound * ordinary.abs().max()
        for got, wanted in zip(gradients(other, inputs), gradients(ordinary, inputs), strict=True):
            assert (got - wanted).abs().max() <= 10 * bound * wanted.abs().max()


def test_a_chunk_of_nothing_is_refused():
    with pytest.raises(ValueError, match="chunk_size is 0"):
        ssd(*arguments(1, 3), chunk_size=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("largest_step", [1.0, 50.0])
def test_last_state_of_ragged_lengths(dtype, largest_step, backend):
    if (dtype, backend) == (torch.float64, "native"):
        pytest.skip("the native kernels take no float64")
    exact = [t.float().double() for t in arguments(7, 200, largest_step=largest_step)]
    lengths = torch.tensor([200, 1, 2, 31, 32, 33, 199])
    _, states = reference(*exact)
    expected = states[torch.arange(7), lengths - 1]
    last = ssd_last(*(tensor.to(dtype) for tensor in exact[:4]), lengths, backend)
    assert last.dtype == dtype
    assert last.shape == (7, HEADS, WIDTH, STATES)
    bound = 1e-13 if dtype == torch.float64 else 1e-6
    assert (last - expected).abs().max() < bound * expected.abs().max()


@pytest.mark.parametrize("largest_step", [1.0, 50.0])
def test_steps_follow_the_equations(backend, largest_step):
    """200 steps, each from the state before, so that errors could add up."""
    exact = [t.float().double() for t in arguments(7, 200, largest_step=largest_step)]
    outputs, states = reference(*exact)
    x, step, decay, write, read = (tensor.float() for tensor in exact)
    state = torch.zeros(7, HEADS, WIDTH, STATES)
    with torch.no_grad():
        for t in range(200):
            given = (x[:, t], step[:, t], decay, write[:, t], read[:, t], state)
            y, state = ssd_step(*given, backend=backend)
            assert (y - outputs[:, t]).abs().max() < 5e-6 * outputs.abs().max()
    assert (state - states[:, -1]).abs().max() < 5e-6 * states[:, -1].abs().max()


def test_gradients_of_the_last_state():
    lengths = torch.tensor([40, 1, 2, 31, 32, 33, 39])
    inputs = leaves(arguments(7, 40)[:4])
    _, states = reference(*inputs, arguments(7, 40)[4])
    wanted = gradients(states[torch.arange(7), lengths - 1], inputs)
    got = gradients(ssd_last(*inputs, lengths), inputs)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_last_state_leaves_padding_out():
    x, step, decay, write, _ = arguments(7, 70)
    lengths = torch.tensor([70, 1, 2, 31, 64, 65, 69])
    padding = torch.arange(70) >= lengths[:, None]
    clean = ssd_last(x, step, decay, write, lengths)
    for tensor in (x, step, write):
        tensor[padding] = 1e6
    assert torch.equal(clean, ssd_last(x, step, decay, write, lengths))


@pytest.mark.parametrize("largest_step", [1e4, 1e-4])
def test_long_sequences_neither_overflow_nor_vanish(backend, largest_step):
    """Masked after ``exp``, the sums of the other triangle would overflow from about 88 on."""
    exact = [t.float().double() for t in arguments(1, 2000, largest_step=largest_step)]
    expected, states = reference(*exact)
    inputs = leaves(exact, torch.float32)
    outputs = ssd(*inputs, backend=backend)
    assert (outputs - expected).abs().max() < BOUNDS[backend] * expected.abs().max()
    for gradient in gradients(outputs, inputs):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    with torch.no_grad():
        last = ssd_last(*inputs[:4], torch.tensor([2000]), backend)
    # Nothing decays within 2,000 small steps: that many roundings may add up.
    assert (last[0] - states[0, -1]).abs().max() < 5e-6 * states[0, -1].abs().max()


def test_memory_is_linear_in_the_length():
    """What autograd keeps for 512 positions is twice what it keeps for 256."""
    kept = []
    for length in (256, 512):
        inputs = leaves(arguments(1, length))
        sizes = {}

        def watched(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(watched, lambda tensor: tensor):
            outputs = ssd(*inputs)
        assert outputs.requires_grad
        kept.append(sum(sizes.values()))
    assert kept[1] < 2.2 * kept[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    x, step, decay, write, read = (tensor.to(dtype) for tensor in arguments(3, 70))
    expected = ssd(x.float(), step.float(), decay.float(), write.float(), read.float())
    assert torch.equal(ssd(x, step, decay, write, read), expected.to(dtype))
    inputs = [tensor.float() for tensor in (x, step, decay, write, read)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ssd(*inputs), expected)


def test_the_state_starts_at_zero_and_rows_do_not_mix():
    inputs = arguments(4, 40)
    together = ssd(*inputs)
    x, step, decay, write, read = inputs
    for row in range(4):
        part = slice(row, row + 1)
        alone = ssd(x[part], step[part], decay, write[part], read[part])
        torch.testing.assert_close(together[part], alone, rtol=1e-13, atol=1e-13)
    first = (step[..., None] * x)[:, 0] * (write * read)[:, 0].sum(-1)[:, None, None]
    torch.testing.assert_close(together[:, 0], first, rtol=1e-13, atol=1e-13)


def test_arguments_are_left_as_they_are():
    inputs = leaves(arguments(2, 70))
    copies = [tensor.detach().clone() for tensor in inputs]
    gradients(ssd(*inputs), inputs)
    ssd_last(*inputs[:4], torch.tensor([70, 3]))
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor.detach(), copy)
