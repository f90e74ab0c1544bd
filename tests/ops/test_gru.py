"""The gated recurrent unit by the compiled kernels, against PyTorch in float64."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

import seqzoo
from seqzoo.errors import BackendUnavailableError
from seqzoo.interfaces import SequenceBatch
from seqzoo.ops import gru, gru_last
from seqzoo.ops.gru import torch_gru, torch_gru_last

SIZES = [
    (1, 1, 1, 1),
    (1, 40, 64, 128),
    (2, 7, 3, 5),
    (5, 12, 17, 33),
    (8, 50, 64, 128),
    (21, 9, 16, 48),
]
"""Sequences, positions, width of the input, width of the state."""


def arguments(batch, length, width, channels):
    """Float32 values as float64."""
    draw = torch.Generator().manual_seed(0)
    shapes = ((batch, length, width), (3 * channels, width), (3 * channels, channels))
    x, outer, inner = (torch.randn(shape, generator=draw).double() for shape in shapes)
    return [x, outer / width**0.5, inner / channels**0.5]


def results(function, given, dtype):
    """States and all gradients."""
    inputs = [tensor.to(dtype).requires_grad_() for tensor in given]
    states = function(*inputs)
    weights = torch.linspace(-1.0, 2.0, states.numel(), dtype=dtype).view_as(states)
    return [states.detach(), *torch.autograd.grad((states * weights).sum(), inputs)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_states_and_gradients(level, size):
    given = arguments(*size)
    exact = results(torch_gru, given, torch.float64)
    found = results(lambda *a: gru(*a, "native"), given, torch.float32)
    for got, wanted in zip(found, exact, strict=True):
        assert got.dtype == torch.float32
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 3e-6 * wanted.abs().max()


def test_the_torch_implementation_is_the_layer_of_pytorch():
    x, outer, inner = arguments(3, 9, 5, 7)
    layer = nn.GRU(5, 7, bias=False, batch_first=True).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(outer)
        layer.weight_hh_l0.copy_(inner)
        torch.testing.assert_close(torch_gru(x, outer, inner), layer(x)[0])


@pytest.mark.parametrize("lengths", [[1], [4, 1, 9], [50, 3, 17, 16, 49, 2, 1, 50, 8]], ids=str)
def test_the_last_states(level, lengths):
    """Padding may be NaN: it never reaches a result."""
    x, outer, inner = arguments(len(lengths), max(lengths), 12, 21)
    counts = torch.tensor(lengths)
    exact = torch_gru_last(x, outer, inner, counts)
    floats = [x.float(), outer.float(), inner.float()]
    floats[0][torch.arange(max(lengths)) >= counts[:, None]] = float("nan")
    found = gru_last(*floats, counts, "native")
    assert (found - exact).abs().max() <= 1e-6 * exact.abs().max()
    with pytest.raises(BackendUnavailableError, match="gradients are wanted"):
        gru_last(floats[0].requires_grad_(), *floats[1:], counts, "native")


@pytest.mark.usefixtures("native")
def test_a_sequence_gets_the_same_bits_in_any_batch_and_at_any_number_of_threads():
    given = [tensor.float() for tensor in arguments(21, 9, 16, 48)]
    threads, runs = torch.get_num_threads(), []
    try:
        for count in (1, 1, 2, 3):
            torch.set_num_threads(count)
            runs.append(results(lambda *a: gru(*a, "native"), given, torch.float32)[:2])
    finally:
        torch.set_num_threads(threads)
    for one, other in pairwise(runs):
        assert all(map(torch.equal, one, other))
    for row in range(21):
        alone = gru(given[0][row : row + 1], *given[1:], "native")
        assert torch.equal(alone[0], runs[0][0][row])


@pytest.mark.usefixtures("native")
def test_what_the_kernel_cannot_take_is_left_to_torch():
    given = arguments(2, 9, 6, 4)
    assert torch.equal(gru(*given), torch_gru(*given))
    with pytest.raises(BackendUnavailableError, match=r"'native'.*float64.*use backend=auto"):
        gru(*given, backend="native")
    x, outer, inner = (tensor.float() for tensor in given)
    for reason, changed in {
        "outer": (x, outer[:, :5], inner),
        "inner": (x, outer, inner[:3]),
        "x has 2 dimensions": (x[0], outer, inner),
    }.items():
        with pytest.raises(BackendUnavailableError, match=reason):
            gru(*changed, backend="native")
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(BackendUnavailableError, match="autocast"),
    ):
        gru(x, outer, inner, "native")
    assert gru(x[:0], outer, inner, "native").shape == (0, 9, 4)


@pytest.mark.usefixtures("native")
def test_nan_stays_nan():
    x, outer, inner = (tensor.float() for tensor in arguments(3, 9, 6, 4))
    x[1, 3] = float("nan")
    broken = gru(x, outer, inner, "native").isnan()
    assert bool(broken[1, 3:].all())
    assert broken.sum() == broken[1, 3:].numel()


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("name", ["gru4rec", "narm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_whole_models(name, layers):
    """All positions, the newest event, and a session, against the same model in float64."""
    torch.manual_seed(0)
    model = seqzoo.create(name, num_items=30, num_layers=layers, gru_size=24).eval()
    exact = copy.deepcopy(model).double()
    batch = SequenceBatch.from_histories([[3, 9, 12, 7], [5, 1], [8]])
    session = model.session()
    for item in ("3", "9", "12", "7"):
        session.observe(item)
    with torch.no_grad():
        wanted = exact(batch)
        newest = batch.gather_last(wanted)
        for got, expected in (
            (model(batch)[batch.mask], wanted[batch.mask]),
            (model.last(batch), newest),
            (session.hidden, newest[0]),
        ):
            assert (got - expected).abs().max() < 2e-6 * expected.abs().max()
