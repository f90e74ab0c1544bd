"""The position-wise feed-forward layer without dropout: ``LayerNorm(W2 f(W1 x + b1) + b2 + x)``.

Shapes in brackets: D width, F width between both matrices.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from seqzoo.ops.backends import compiled, in_torch, register, run
from seqzoo.ops.native.feed_forward import feed_forward_limits
from seqzoo.ops.step_operations import ACTIVATIONS

__all__ = ["feed_forward", "torch_feed_forward"]


_FEWEST = 64
"""Positions below which a kernel takes longer to arrange the weights than to multiply by them."""


def feed_forward(
    x: Tensor, first: nn.Module, second: nn.Module, norm: nn.LayerNorm, activation: str = "gelu"
) -> Tensor:
    """Each position separately: [..., D] -> [..., D].

    Args:
        x: input [..., D].
        first: the first linear layer, from D to F.
        second: the second one, from F to D.
        norm: the LayerNorm.
        activation: f, ``gelu`` (exact) or ``hardswish``.

    Raises:
        BackendUnavailableError: ``SEQZOO_BACKEND`` names a backend that cannot take the arguments.
    """
    modules = (first, second, norm)
    few = x.numel() < _FEWEST * x.shape[-1]
    # Another class, or one with hooks, may do more than its weights say.
    if few or any(
        type(module) not in (nn.Linear, nn.LayerNorm)
        or module._forward_hooks
        or module._forward_pre_hooks
        or any(module._parameters.get(name) is None for name in ("weight", "bias"))
        for module in modules
    ):
        composed: Tensor = norm(second(ACTIVATIONS[activation](first(x))) + x)
        return composed
    weights: list[Any] = [
        module.get_parameter(name) for module in modules for name in ("weight", "bias")
    ]
    y: Tensor = run("feed-forward", None, x, *weights, norm.eps, activation)
    return y


def torch_feed_forward(
    x: Tensor,
    first: Tensor,
    first_bias: Tensor,
    second: Tensor,
    second_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float = 0.0,
    activation: str = "gelu",
) -> Tensor:
    """``feed_forward`` in PyTorch: the weights of both linear layers and of the LayerNorm."""
    inner = ACTIVATIONS[activation](functional.linear(x, first, first_bias))
    y = functional.linear(inner, second, second_bias) + x
    return functional.layer_norm(y, weight.shape, weight, bias, eps)


register(
    compiled(
        "feed-forward", "seqzoo.ops.native.feed_forward:native_feed_forward", feed_forward_limits
    ),
    in_torch("feed-forward", "seqzoo.ops.feed_forward:torch_feed_forward"),
)
