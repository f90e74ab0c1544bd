"""The gated recurrent unit by the compiled kernels; see ``gru.c``.

Shapes in brackets: B batch, L positions, D width of the input, G width of the state.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqzoo.ops.native.library import (
    Rows,
    call,
    inference_limits,
    limits,
    packed,
    unexpected_shape,
    wrong_dimensions,
)
from seqzoo.ops.native.panels import in_panels

__all__ = ["gru_last_limits", "gru_limits", "native_gru", "native_gru_last"]

_BLOCK = 8
"""Most sequences of one task."""
_GATES = ("r", "z", "n", "mixed")
_SIZES = ("batch", "length", "width", "channels", "block", "threads")
_POINTERS = ("outer", "inner", "lengths", "last", "states", *_GATES, "grad_gates")


class _Gru(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        ("x", Rows),
        ("grad_y", Rows),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def gru_limits(x: Tensor, outer: Tensor, inner: Tensor) -> str:
    """Why the kernel cannot take these arguments: float64, autocast, no values, other shapes."""
    return limits(x, outer, inner) or _refused(x, outer, inner)


def gru_last_limits(x: Tensor, outer: Tensor, inner: Tensor, lengths: Tensor) -> str:
    """The same for the last states, which also refuses arguments that require gradients."""
    return (
        inference_limits(x, outer, inner)
        or _refused(x, outer, inner)
        or unexpected_shape(lengths=(lengths.shape, x.shape[:1]))
    )


def native_gru(x: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """``seqzoo.ops.gru`` by the compiled kernel."""
    states: Tensor = _Recurrent.apply(x, outer, inner)  # type: ignore[no-untyped-call]
    return states.to(x.dtype)


def native_gru_last(x: Tensor, outer: Tensor, inner: Tensor, lengths: Tensor) -> Tensor:
    """``seqzoo.ops.gru_last`` by the compiled kernel, which stops at the lengths."""
    last = torch.zeros(len(x), inner.shape[1])
    # Kept until the call returns: a copy has no other owner.
    lengths = lengths.to("cpu", torch.int64).contiguous()
    _forward(x, outer, inner, lengths=lengths, last=last)
    return last.to(x.dtype)


class _Recurrent(torch.autograd.Function):
    """Keeps the gates for the backward pass, if there is one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
        states = torch.empty(*x.shape[:2], inner.shape[1])
        if not any(ctx.needs_input_grad):
            _forward(x, outer, inner, states=states)
            return states
        gates = {name: torch.empty_like(states) for name in _GATES}
        _forward(x, outer, inner, states=states, **gates)
        ctx.save_for_backward(x, outer, inner, states, *gates.values())
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, ...]:
        x, outer, inner, states, *gates = ctx.saved_tensors
        channels = inner.shape[1]
        found = torch.empty(*x.shape[:2], 4 * channels)
        rows = {"x": x, "grad_y": grad_states}
        _run(
            "seqzoo_gru_backward", rows, channels, inner=in_panels(inner), states=states,
            grad_gates=found, **dict(zip(_GATES, gates, strict=True)),
        )  # fmt: skip
        of_inputs = found[..., : 3 * channels].flatten(0, 1)
        # The first position has no state before it.
        before, after = states[:, :-1].flatten(0, 1), found[:, 1:].flatten(0, 1)
        of_states = torch.cat([after[:, : 2 * channels], after[:, 3 * channels :]], 1)
        gradients = (
            (of_inputs @ outer.float()).view(x.shape),
            of_inputs.T @ x.flatten(0, 1).float(),
            of_states.T @ before,
        )
        return tuple(
            gradient.to(argument.dtype)
            for gradient, argument in zip(gradients, (x, outer, inner), strict=True)
        )


def _refused(x: Tensor, outer: Tensor, inner: Tensor) -> str:
    if torch.is_autocast_enabled("cpu"):
        return "autocast, the kernel computes in float32"
    channels = inner.shape[-1]
    return wrong_dimensions(x, 3) or unexpected_shape(
        outer=(outer.shape, (3 * channels, x.shape[-1])),
        inner=(inner.shape, (3 * channels, channels)),
    )


def _forward(x: Tensor, outer: Tensor, inner: Tensor, **outputs: Tensor) -> None:
    channels = inner.shape[1]
    # By inputs, with the three gates of a panel side by side.
    weights = {
        name: in_panels(weight.view(3, channels, -1).permute(2, 0, 1))
        for name, weight in (("outer", outer), ("inner", inner))
    }
    _run("seqzoo_gru_forward", {"x": x}, channels, **weights, **outputs)


def _run(name: str, rows: dict[str, Tensor], channels: int, **tensors: Tensor) -> None:
    """Call the kernel with tensors named as in ``gru.c``."""
    # Kept until the call returns: a copy has no other owner.
    rows = {key: packed(tensor) for key, tensor in rows.items()}
    threads = torch.get_num_threads()
    batch, length, width = rows["x"].shape
    # Each thread gets a sequence if there are enough.
    block = min(_BLOCK, max(1, -(-batch // threads)))
    arguments = _Gru(
        *(batch, length, width, channels, block, threads),
        **{key: Rows.of(tensor) for key, tensor in rows.items()},
        **{key: tensor.data_ptr() for key, tensor in tensors.items()},
    )
    call(name, ctypes.byref(arguments))
