"""The feed-forward layer by the compiled kernels; see ``feed_forward.c``.

Shapes in brackets: D width, F width between both matrices.
"""

import ctypes

import torch
from torch import Tensor

from seqzoo.ops.native.library import call, inference_limits, unexpected_shape
from seqzoo.ops.native.panels import in_panels, padded

__all__ = ["feed_forward_limits", "native_feed_forward"]

_SIZES = ("rows", "width", "inner", "threads", "hardswish")
_POINTERS = ("x", "first", "second", "first_bias", "second_bias", "weight", "bias", "y")


class _FeedForward(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        ("eps", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def feed_forward_limits(
    x: Tensor,
    first: Tensor,
    first_bias: Tensor,
    second: Tensor,
    second_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float = 0.0,
    activation: str = "gelu",
) -> str:
    """Why the kernel cannot take these arguments: gradients, autocast, other shapes."""
    if refused := inference_limits(x, first, first_bias, second, second_bias, weight, bias):
        return refused
    if torch.is_autocast_enabled("cpu"):
        return "autocast, the kernel computes in float32"
    if activation not in ("gelu", "hardswish"):
        return f"activation {activation}, the kernel has gelu and hardswish"
    inner, width = len(first), x.shape[-1]
    return unexpected_shape(
        first=(first.shape, (inner, width)),
        first_bias=(first_bias.shape, (inner,)),
        second=(second.shape, (width, inner)),
        second_bias=(second_bias.shape, (width,)),
        weight=(weight.shape, (width,)),
        bias=(bias.shape, (width,)),
    )


def native_feed_forward(
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
    """``seqzoo.ops.feed_forward`` by the compiled kernel."""
    # Kept until the call returns: a copy has no other owner.
    rows = x.detach().float().contiguous()
    tensors = {
        "x": rows,
        "first": in_panels(first.T),
        "second": in_panels(second.T),
        "first_bias": padded(first_bias),
        "second_bias": padded(second_bias),
        "weight": padded(weight),
        "bias": padded(bias),
        "y": torch.empty(rows.shape),
    }
    width = x.shape[-1]
    arguments = _FeedForward(
        *(rows.numel() // width, width, len(first), torch.get_num_threads()),
        hardswish=activation == "hardswish",
        eps=eps,
        **{name: tensor.data_ptr() for name, tensor in tensors.items()},
    )
    call("seqzoo_feed_forward", ctypes.byref(arguments))
    return tensors["y"].to(x.dtype)
