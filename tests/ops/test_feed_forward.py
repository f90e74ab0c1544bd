"""The feed-forward layer by the compiled kernels, against PyTorch in float64."""

import copy

import pytest
import torch
from torch import nn

from seqzoo.errors import BackendUnavailableError
from seqzoo.ops import backends
from seqzoo.ops.feed_forward import torch_feed_forward
from seqzoo.ops.native.feed_forward import native_feed_forward
from seqzoo.parts.layers import FeedForward

SIZES = [(64, 1, 1), (67, 5, 3), (130, 17, 40), (200, 64, 256)]
"""Rows, width, width between the matrices."""


def arguments(rows, width, inner):
    """Float32 values as float64."""
    draw = torch.Generator().manual_seed(0)
    shapes = ((rows, width), (inner, width), (inner,), (width, inner), (width,), (width,), (width,))
    found = [torch.randn(shape, generator=draw).double() for shape in shapes]
    found[1] /= width**0.5
    found[3] /= inner**0.5
    return found


@pytest.mark.parametrize("activation", ["gelu", "hardswish"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_results_of_torch(level, size, activation):
    given = arguments(*size)
    exact = torch_feed_forward(*given, 1e-5, activation)
    found = native_feed_forward(*(tensor.float() for tensor in given), 1e-5, activation)
    assert found.shape == exact.shape
    assert (found - exact).abs().max() <= 3e-6 * exact.abs().max()


@pytest.mark.usefixtures("native")
def test_a_row_gets_the_same_bits_among_any_others():
    given = [tensor.float() for tensor in arguments(200, 24, 50)]
    whole = native_feed_forward(*given, 1e-5)
    for first in (1, 7, 100):
        part = native_feed_forward(given[0][first : first + 66], *given[1:], 1e-5)
        assert torch.equal(part, whole[first : first + 66])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(native_feed_forward(*given, 1e-5), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("native")
def test_what_the_kernel_cannot_take_is_left_to_torch():
    given = [tensor.float() for tensor in arguments(100, 6, 9)]
    for reason, changed in {
        "first has shape": [given[0], given[1][:, :5], *given[2:]],
        "float64": [tensor.double() for tensor in given],
        "gradients are wanted": [given[0].clone().requires_grad_(), *given[1:]],
    }.items():
        with pytest.raises(BackendUnavailableError, match=reason):
            backends.run("feed-forward", "native", *changed, 1e-5)
    given[0].requires_grad_()
    assert backends.run("feed-forward", None, *given, 1e-5).requires_grad


@pytest.mark.usefixtures("native")
def test_few_positions_are_left_to_torch_by_any_backend(monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "native")
    layer = FeedForward(6, 9, 0.0, 1e-5).eval()
    x = torch.randn(63, 6)
    with torch.no_grad():
        found = layer(x)
        monkeypatch.setenv(backends.VARIABLE, "torch")
        assert torch.equal(found, layer(x))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.usefixtures("native")
def test_the_layer_and_one_whose_modules_do_more():
    torch.manual_seed(0)
    layer = FeedForward(12, 48, 0.5, 1e-5).eval()
    x = torch.randn(3, 40, 12)
    with torch.no_grad():
        exact = copy.deepcopy(layer).double()(x.double())
        assert (layer(x) - exact).abs().max() < 3e-6 * exact.abs().max()
        layer.train()
        assert not torch.allclose(layer(x), layer(x)), "dropout"
        layer.eval()
        changed = Doubled(12, 48)
        changed.load_state_dict(layer.dense_1.state_dict())
        layer.dense_1 = changed
        other = layer(x)
        assert not torch.allclose(other, exact.float(), atol=1e-3)
        layer.dense_1 = nn.Linear(12, 48)
        layer.dense_1.load_state_dict(changed.state_dict())
        layer.dense_1.register_forward_hook(lambda module, given, found: 2 * found)
        assert torch.allclose(layer(x), other, atol=1e-5)
