"""The compiled kernels against the torch implementations in float64, for every set of instructions.

Without a C compiler they are not there, and these tests are skipped but for those of the build.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

import seqzoo
from seqzoo.errors import BackendUnavailableError
from seqzoo.evaluation.evaluate import TOLERANCE
from seqzoo.ops import (
    backends,
    causal_convolution,
    convolved_scan_last,
    selective_scan,
    selective_scan_last,
    selective_scan_step,
    ssd,
    ssd_last,
    ssd_step,
)
from seqzoo.ops.causal_convolution import torch_causal_convolution
from seqzoo.ops.convolved_scan import torch_convolved_scan_last
from seqzoo.ops.selective_scan import (
    torch_selective_scan,
    torch_selective_scan_last,
    torch_selective_scan_step,
)
from seqzoo.ops.ssd import torch_ssd, torch_ssd_last, torch_ssd_step

CPU = torch.device("cpu")


def scan_arguments(batch, length, channels, states, largest_step=1.0):
    """Float32 arguments as float64; steps spread over four orders of magnitude."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).double()

    spread = torch.rand(batch, length, channels, generator=draw)
    return [
        normal(batch, length, channels),
        (largest_step * 10.0 ** (-4.0 * spread)).double(),
        -normal(states, channels).exp().float().double(),
        normal(batch, length, states),
        normal(batch, length, states),
    ]


def results(function, given, dtype):
    """Output and all gradients."""
    inputs = [tensor.to(dtype).requires_grad_() for tensor in given]
    output = function(*inputs)
    weights = torch.linspace(-1.0, 2.0, output.numel(), dtype=dtype).view_as(output)
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), inputs)]


SIZES = [
    (1, 1, 1, 1),
    (1, 1, 6, 5),
    (2, 15, 16, 3),
    (3, 16, 64, 8),
    (1, 17, 65, 32),
    (5, 50, 130, 17),
    (2, 200, 128, 32),
]


@pytest.mark.parametrize("largest_step", [1.0, 50.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_scan_and_its_gradients(level, size, largest_step):
    given = scan_arguments(*size, largest_step)
    exact = results(torch_selective_scan, given, torch.float64)
    found = results(lambda *a: selective_scan(*a, backend="native"), given, torch.float32)
    for got, wanted in zip(found, exact, strict=True):
        assert got.dtype == torch.float32
        assert got.shape == wanted.shape
        # Sums of up to 200 positions by 130 channels, each term rounded at 6e-8.
        assert (got - wanted).abs().max() <= 3e-6 * wanted.abs().max()


def ssd_arguments(batch, length, heads, width, states, largest_step=1.0):
    """The arguments of a scan, with one step and one rate for each head."""
    x, step, decay, write, read = scan_arguments(batch, length, heads * width, states, largest_step)
    x = x.view(batch, length, heads, width)
    return [x, step[..., :heads].contiguous(), decay[0, :heads].contiguous(), write, read]


SSD_SIZES = [
    (1, 1, 1, 1, 1),
    (1, 1, 3, 4, 5),
    (2, 17, 1, 200, 3),
    (3, 33, 5, 13, 8),
    (2, 40, 70, 1, 4),
    (2, 200, 4, 32, 32),
]


@pytest.mark.parametrize("largest_step", [1.0, 50.0])
@pytest.mark.parametrize("size", SSD_SIZES, ids=str)
def test_ssd_and_its_gradients(level, size, largest_step):
    """Heads that are narrower and wider than a vector, and that end within one."""
    given = ssd_arguments(*size, largest_step)
    exact = results(torch_ssd, given, torch.float64)
    found = results(lambda *a: ssd(*a, backend="native"), given, torch.float32)
    for got, wanted in zip(found, exact, strict=True):
        assert got.shape == wanted.shape
        # The gradient of a rate sums over all positions, states and channels of a head.
        assert (got - wanted).abs().max() <= 5e-6 * wanted.abs().max()


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (2, 3, 6, 4), (3, 50, 33, 3), (2, 20, 128, 6)])
def test_the_convolution_and_its_gradients(level, size):
    """Also with sequences that are shorter than the taps."""
    batch, length, channels, taps = size
    draw = torch.Generator().manual_seed(0)
    shapes = ((batch, length, channels), (channels, taps), (channels,))
    given = [torch.randn(shape, generator=draw).double() for shape in shapes]
    exact = results(torch_causal_convolution, given, torch.float64)
    found = results(lambda *a: causal_convolution(*a, "native"), given, torch.float32)
    for got, wanted in zip(found, exact, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1e-6 * wanted.abs().max()


LENGTHS = [[1], [50, 1, 17, 16, 49], [2, 200]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_the_last_states(level, lengths):
    """Padding is never read, so it may be NaN."""
    batch, longest = len(lengths), max(lengths)
    padding = torch.arange(longest) >= torch.tensor(lengths)[:, None]
    for op, reference, given in (
        (selective_scan_last, torch_selective_scan_last, scan_arguments(batch, longest, 70, 9)),
        (ssd_last, torch_ssd_last, ssd_arguments(batch, longest, 3, 25, 7)),
    ):
        exact = reference(*given[:4], torch.tensor(lengths))
        floats = [tensor.float() for tensor in given[:4]]
        for tensor in (floats[0], floats[1], floats[3]):
            tensor[padding] = float("nan")
        found = op(*floats, torch.tensor(lengths), "native")
        assert found.shape == exact.shape
        assert (found - exact).abs().max() <= 1e-6 * exact.abs().max()
        with pytest.raises(BackendUnavailableError, match="gradients are wanted"):
            op(floats[0].requires_grad_(), *floats[1:], torch.tensor(lengths), "native")


@pytest.mark.parametrize("lengths", [[1], [2, 3], [90, 1, 17, 16, 49]], ids=str)
@pytest.mark.parametrize("size", [(3, 5, 4, 1, 2), (12, 70, 9, 4, 3), (64, 128, 32, 4, 4)], ids=str)
@pytest.mark.parametrize("rate", [0.01, 5.0])
def test_the_last_states_of_a_block(level, lengths, size, rate):
    """Whether the states remember all or forget nearly all; padding is never read."""
    width, channels, states, taps, rank = size
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).double()

    given = [
        normal(len(lengths), max(lengths), width),
        normal(channels, width) / width**0.5,
        normal(channels, taps),
        normal(channels),
        normal(rank + states, channels) / channels**0.5,
        normal(channels, rank),
        normal(channels),
        -rate * torch.rand(states, channels, generator=draw).double(),
    ]
    counts = torch.tensor(lengths)
    exact = torch_convolved_scan_last(*given, counts)
    floats = [tensor.float() for tensor in given]
    floats[0][torch.arange(max(lengths)) >= counts[:, None]] = float("nan")
    found = convolved_scan_last(*floats, counts, "native")
    for got, wanted in zip(found, exact, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 3e-6 * wanted.abs().max()
    alone = convolved_scan_last(floats[0][-1:], *floats[1:], counts[-1:], "native")
    assert torch.equal(alone[0][0], found[0][-1])
    with pytest.raises(BackendUnavailableError, match="select has shape"):
        convolved_scan_last(*floats[:4], floats[4][1:], *floats[5:], counts, "native")


@pytest.mark.usefixtures("native")
def test_lengths_beyond_the_positions_are_those_of_whole_sequences():
    x, step, decay, write, _ = (t.float() for t in scan_arguments(3, 9, 5, 4))
    found = selective_scan_last(x, step, decay, write, torch.tensor([1000, 9, -3]), "native")
    whole = selective_scan_last(x, step, decay, write, torch.tensor([9, 9, 0]), "torch")
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 70, 5), (40, 128, 32)])
def test_one_step(level, size):
    """It gives what the torch implementation gives, and leaves the state before as it is."""
    batch, channels, states = size
    x, step, decay, write, read = scan_arguments(batch, 1, channels, states)
    draw = torch.Generator().manual_seed(2)
    state = torch.randn(batch, states, channels, generator=draw).double()
    given = (x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], state)
    exact = torch_selective_scan_step(*given)
    floats = [tensor.float() for tensor in given]
    before = floats[-1].clone()
    found = selective_scan_step(*floats, "native")
    assert torch.equal(floats[-1], before)
    for got, wanted in zip(found, exact, strict=True):
        assert (got - wanted).abs().max() <= 1e-6 * wanted.abs().max()


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (3, 3, 7, 5), (2, 1, 40, 64), (40, 4, 32, 33)])
def test_one_step_of_ssd(level, size):
    """It gives what the torch implementation gives, and leaves the state before as it is."""
    batch, heads, width, states = size
    x, step, decay, write, read = ssd_arguments(batch, 1, heads, width, states)
    draw = torch.Generator().manual_seed(2)
    state = torch.randn(batch, heads, width, states, generator=draw).double()
    given = (x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], state)
    exact = torch_ssd_step(*given)
    floats = [tensor.float() for tensor in given]
    before = floats[-1].clone()
    for found in (ssd_step(*floats, "native"), ssd_step(*floats, "torch")):
        assert torch.equal(floats[-1], before)
        for got, wanted in zip(found, exact, strict=True):
            assert got.shape == wanted.shape
            assert (got - wanted).abs().max() <= 1e-6 * wanted.abs().max()
    # The states of some sessions among many are a slice.
    sliced = torch.stack([floats[-1], floats[-1]], -1)[..., 0]
    assert not sliced.is_contiguous() or sliced.numel() == 1
    assert torch.equal(ssd_step(*floats[:-1], sliced, "native")[0], ssd_step(*floats, "native")[0])
    with pytest.raises(BackendUnavailableError, match="state has shape"):
        ssd_step(*floats[:-1], floats[-1][..., :-1], "native")


@pytest.mark.usefixtures("native")
def test_shapes_that_torch_would_broadcast_or_refuse_never_reach_the_kernels():
    """They read memory by the shapes of some arguments."""
    x, step, decay, write, read = (t.float() for t in scan_arguments(2, 9, 6, 4))
    changes = {
        "step": (x, step[..., :1], decay, write, read),
        "decay": (x, step, decay[:, :1], write, read),
        "write": (x, step, decay, write[:1], read),
        "read": (x, step, decay, write, read[:, :1]),
        "x has 2 dimensions": (x[0], step[0], decay, write[0], read[0]),
    }
    for reason, given in changes.items():
        with pytest.raises(BackendUnavailableError, match=reason):
            selective_scan(*given, backend="native")
    with pytest.raises(BackendUnavailableError, match="bias"):
        causal_convolution(x, torch.randn(6, 4), torch.randn(1), "native")
    broadcast = causal_convolution(x, torch.randn(6, 4), torch.randn(1))
    assert broadcast.shape == x.shape


@pytest.mark.usefixtures("native")
def test_empty_batches_pass():
    x, step, decay, write, read = (t.float() for t in scan_arguments(2, 9, 6, 4))
    empty = [x[:0], step[:0], decay, write[:0], read[:0]]
    found = results(lambda *a: selective_scan(*a, backend="native"), empty, torch.float32)
    assert found[0].shape == (0, 9, 6)
    assert not found[3].any()


@pytest.mark.usefixtures("native")
def test_two_runs_give_the_same_bits_at_any_number_of_threads():
    given = scan_arguments(8, 120, 128, 32)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 1, 2, 3, 3):
            torch.set_num_threads(count)
            found = results(lambda *a: selective_scan(*a, backend="native"), given, torch.float32)
            runs.append(found)
    finally:
        torch.set_num_threads(threads)
    # The kernel's own results are the same at any number; torch sums some gradients afterwards.
    for one, other in pairwise(runs):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_arguments_may_be_slices_and_transposes(level):
    """As the models pass them: parts of one projection, and the transpose of the rates."""
    x, step, decay, write, read = (t.float() for t in scan_arguments(2, 20, 24, 8))
    joined = torch.cat([write, x, read], -1)
    parts = joined.split([8, 24, 8], -1)
    assert not parts[0].is_contiguous()
    transposed = step.transpose(0, 1).contiguous().transpose(0, 1)
    odd = [parts[1], transposed, decay.T.contiguous().T, parts[0], parts[2]]
    plain = results(lambda *a: selective_scan(*a, backend="native"), (x, step, decay, write, read),
                    torch.float32)  # fmt: skip
    sliced = results(lambda *a: selective_scan(*a, backend="native"), odd, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(plain, sliced, strict=True))
    # The gradient of a plain sum is one number with strides of zero.
    inputs = [tensor.clone().requires_grad_() for tensor in (x, step, decay, write, read)]
    ours = torch.autograd.grad(selective_scan(*inputs, backend="native").sum(), inputs)
    theirs = torch.autograd.grad(torch_selective_scan(*inputs).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_extreme_values(level):
    """Steps so large that all is forgotten, NaN that stays NaN, and a growing state."""
    x, step, decay, write, read = (t.float() for t in scan_arguments(2, 20, 24, 8))
    for sizes, rates in ((step * 1e8, decay), (step, -decay)):
        expected = torch_selective_scan(x, sizes, rates, write, read)
        found = selective_scan(x, sizes, rates, write, read, "native")
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    step[1, 3, 5] = float("nan")
    spoiled = selective_scan(x, step, decay, write, read, "native")
    assert spoiled[1, 3:, 5].isnan().all()
    assert spoiled.isnan().sum() == 17


@pytest.mark.usefixtures("native")
def test_no_more_than_the_arguments_is_kept():
    sizes = {}

    def watched(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs = [t.float().requires_grad_() for t in scan_arguments(2, 64, 32, 16)]
    with torch.autograd.graph.saved_tensors_hooks(watched, lambda tensor: tensor):
        selective_scan(*inputs, backend="native")
    assert sum(sizes.values()) == sum(t.untyped_storage().nbytes() for t in inputs)


@pytest.mark.usefixtures("native")
def test_what_the_kernels_cannot_take_is_left_to_torch():
    given = scan_arguments(2, 9, 6, 4)
    assert torch.equal(selective_scan(*given), torch_selective_scan(*given))
    with pytest.raises(BackendUnavailableError, match=r"'native'.*float64.*use backend=auto"):
        selective_scan(*given, backend="native")
    floats = [tensor.float() for tensor in given]
    exported = torch.export.export(Scan(), tuple(floats))
    torch.testing.assert_close(exported.module()(*floats), torch_selective_scan(*floats))
    assert "native" in {v.backend for v in backends.verdicts(CPU) if v.chosen}


class Scan(torch.nn.Module):
    def forward(self, *arguments):
        return selective_scan(*arguments)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    given = [tensor.to(dtype) for tensor in scan_arguments(3, 20, 70, 5)]
    expected = selective_scan(*(tensor.float() for tensor in given), backend="native")
    found = selective_scan(*given, backend="native")
    assert torch.equal(found, expected.to(dtype))


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("name", ["mamba4rec-ml100k", "tim4rec-ml100k"])
def test_metrics_of_checkpoints_do_not_depend_on_the_backend(name, real_data, monkeypatch):
    found = {}
    for backend in ("native", "torch"):
        monkeypatch.setenv(backends.VARIABLE, backend)
        found[backend] = seqzoo.evaluate(seqzoo.load(name), real_data("ml-100k"))
    assert found["native"].environment["backend"] == "native+torch"
    assert found["torch"].environment["backend"] == "torch"
    for metric, value in found["torch"].metrics.items():
        assert abs(found["native"].metrics[metric] - value) <= TOLERANCE, metric


@pytest.mark.usefixtures("native")
def test_gradients_of_gradients_are_refused():
    inputs = [t.float().requires_grad_() for t in scan_arguments(1, 5, 4, 3)]
    output = selective_scan(*inputs, backend="native").square().sum()
    (gradient, *_) = torch.autograd.grad(output, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()
