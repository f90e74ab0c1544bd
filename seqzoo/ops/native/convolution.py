"""The causal depthwise convolution by the compiled kernel; see ``convolution.c``.

Shapes in brackets: B batch, L positions, I channels, K taps.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqzoo.ops.native.library import Rows, call, limits, packed, unexpected_shape, wrong_dimensions

__all__ = ["convolution_limits", "native_causal_convolution"]

_SIZES = ("batch", "length", "channels", "taps", "threads")
_POINTERS = ("weight", "bias", "y", "grad_x", "grad_weight", "grad_bias")


class _Convolution(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        ("x", Rows),
        ("grad_y", Rows),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def convolution_limits(x: Tensor, weight: Tensor, bias: Tensor) -> str:
    """Why it cannot take these arguments: float64, no values, or other shapes."""
    return (
        limits(x, weight, bias)
        or wrong_dimensions(x, 3)
        or unexpected_shape(
            weight=(weight.shape, (*x.shape[2:], *weight.shape[-1:])),
            bias=(bias.shape, x.shape[2:]),
        )
    )


def native_causal_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``seqzoo.ops.causal_convolution`` by the compiled kernel."""
    # The dtype that torch gives the result, where weights are wider than the input for example.
    dtype = torch.promote_types(x.dtype, torch.promote_types(weight.dtype, bias.dtype))
    y: Tensor = _Convolved.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return y.to(dtype)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        y = torch.empty(x.shape)
        _run("seqzoo_convolution_forward", {"x": x}, weight, bias, y=y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, weight, bias = ctx.saved_tensors
        grad_x = torch.empty(x.shape)
        grad_weight = torch.empty(len(x), *weight.T.shape)
        grad_bias = torch.empty(len(x), *bias.shape)
        _run(
            "seqzoo_convolution_backward",
            {"x": x, "grad_y": grad_y},
            weight,
            bias,
            grad_x=grad_x,
            grad_weight=grad_weight,
            grad_bias=grad_bias,
        )
        found = (grad_x, grad_weight.sum(0).T, grad_bias.sum(0))
        return tuple(
            gradient.to(argument.dtype)
            for gradient, argument in zip(found, ctx.saved_tensors, strict=True)
        )


def _run(
    name: str, rows: dict[str, Tensor], weight: Tensor, bias: Tensor, **outputs: Tensor
) -> None:
    """Call the kernel with tensors named as in ``convolution.c``."""
    # Kept until the call returns: a copy has no other owner.
    rows = {key: packed(tensor) for key, tensor in rows.items()}
    taps = weight.detach().float().T.contiguous()
    bias = bias.detach().float().contiguous()
    arguments = _Convolution(
        *rows["x"].shape,
        len(taps),
        torch.get_num_threads(),
        **{key: Rows.of(tensor) for key, tensor in rows.items()},
        weight=taps.data_ptr(),
        bias=bias.data_ptr(),
        **{key: tensor.data_ptr() for key, tensor in outputs.items()},
    )
    call(name, ctypes.byref(arguments))
