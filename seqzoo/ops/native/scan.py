"""The selective scan and SSD by the compiled kernels; see ``scan.c``.

Shapes in brackets: B batch, L positions, I channels, N states, H heads, P width of a head.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqzoo.ops.native.library import (
    Rows,
    Shape,
    call,
    inference_limits,
    limits,
    packed,
    unexpected_shape,
    wrong_dimensions,
)

__all__ = [
    "Scan",
    "last_limits",
    "native_selective_scan",
    "native_selective_scan_last",
    "native_selective_scan_step",
    "native_ssd",
    "native_ssd_last",
    "native_ssd_step",
    "scan_limits",
    "ssd_last_limits",
    "ssd_limits",
    "ssd_step_limits",
    "step_limits",
]

_GROUP = 64
"""Channels of one task; each group has gradients of ``write`` and ``read`` of its own."""
_SIZES = ("batch", "length", "channels", "states", "width", "shared", "threads")
_ROWS = ("x", "step", "write", "read", "grad_y")
_WEIGHTS = ("weight", "bias")
_POINTERS = (
    "decay",
    "lengths",
    "y",
    "last",
    "grad_x",
    "grad_step",
    "grad_decay",
    "grad_write",
    "grad_read",
)
_STEP_POINTERS = ("x", "step", "decay", "write", "read", "state", "y", "after")


class Scan(ctypes.Structure):
    """The arguments of a scan; see ``scan.h``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (*_SIZES, "rank")),
        *((name, Rows) for name in _ROWS),
        *((name, ctypes.c_void_p) for name in _WEIGHTS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "channels", "states", "threads")),
        *((name, ctypes.c_void_p) for name in _STEP_POINTERS),
    )


class _SsdStep(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "heads", "width", "states", "threads")),
        *((name, ctypes.c_void_p) for name in _STEP_POINTERS),
    )


def scan_limits(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> str:
    """Why the scan cannot take these arguments: float64, no values, or shapes to be broadcast."""
    return limits(x, step, decay, write, read) or _scan_shapes(
        x, step, decay, write, read=(read.shape, write.shape)
    )


def native_selective_scan(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
) -> Tensor:
    """``seqzoo.ops.selective_scan`` by the compiled kernel."""
    y: Tensor = _Scanned.apply(x, step, decay, write, read)  # type: ignore[no-untyped-call]
    return y.to(x.dtype)


def last_limits(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor) -> str:
    """The same for the last state, which also refuses arguments that require gradients."""
    return inference_limits(x, step, decay, write) or _scan_shapes(
        x, step, decay, write, lengths=(lengths.shape, x.shape[:1])
    )


def native_selective_scan_last(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor
) -> Tensor:
    """``seqzoo.ops.selective_scan_last`` by the compiled kernel, which stops at the lengths."""
    state = torch.empty(len(x), *decay.shape)
    _run_last("seqzoo_scan_last", x, step, decay, write, lengths, state)
    return state.to(x.dtype)


def step_limits(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> str:
    """The same for one step, which also refuses arguments that require gradients."""
    return inference_limits(x, step, decay, write, read, state) or _scan_shapes(
        x,
        step,
        decay,
        write,
        read=(read.shape, write.shape),
        state=(state.shape, (*x.shape[:1], *decay.shape)),
        dimensions=2,
    )


def native_selective_scan_step(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """``seqzoo.ops.selective_scan_step`` by the compiled kernel."""
    arguments = (x, step, decay, write, read, state)
    return _run_step("seqzoo_scan_step", _Step, (*x.shape, len(decay)), arguments)


def ssd_limits(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = 0,
) -> str:
    """Why SSD cannot take these arguments: float64, no values, or shapes to be broadcast."""
    return limits(x, step, decay, write, read) or _ssd_shapes(
        x, step, decay, write, read=(read.shape, write.shape)
    )


def native_ssd(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = 0,
) -> Tensor:
    """``seqzoo.ops.ssd`` by the compiled kernel, which goes from position to position."""
    y: Tensor = _Scanned.apply(  # type: ignore[no-untyped-call]
        x.flatten(2), step, decay, write, read
    )
    return y.view(x.shape).to(x.dtype)


def ssd_last_limits(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor) -> str:
    """The same for its last state, which also refuses arguments that require gradients."""
    return inference_limits(x, step, decay, write) or _ssd_shapes(
        x, step, decay, write, lengths=(lengths.shape, x.shape[:1])
    )


def native_ssd_last(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor
) -> Tensor:
    """``seqzoo.ops.ssd_last`` by the compiled kernel, which stops at the lengths."""
    state = torch.empty(len(x), *x.shape[2:], write.shape[-1])
    _run_last("seqzoo_ssd_last", x.flatten(2), step, decay, write, lengths, state)
    return state.to(x.dtype)


def ssd_step_limits(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> str:
    """The same for one step, which also refuses arguments that require gradients."""
    return inference_limits(x, step, decay, write, read, state) or _ssd_shapes(
        x,
        step,
        decay,
        write,
        read=(read.shape, write.shape),
        state=(state.shape, (*x.shape, *write.shape[-1:])),
        dimensions=3,
    )


def native_ssd_step(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """``seqzoo.ops.ssd_step`` by the compiled kernel."""
    return _run_step(
        "seqzoo_ssd_step",
        _SsdStep,
        (*x.shape, write.shape[-1]),
        (x, step, decay, write, read, state),
    )


class _Scanned(torch.autograd.Function):
    """Keeps nothing but its arguments for the backward pass.

    x [B, L, I]; step [B, L, I] and decay [N, I] for the selective scan, [B, L, H] and [H] for SSD.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, step, decay, write, read)
        y = torch.empty(x.shape)
        rows = {"x": x, "step": step, "write": write, "read": read}
        _run("seqzoo_scan_forward", rows, decay, y=y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, step, decay, write, read = ctx.saved_tensors
        batch, length, channels = x.shape
        parts = (-(-channels // _GROUP), batch, length, write.shape[-1])
        grad_x, grad_step = torch.empty(x.shape), torch.empty(x.shape)
        grad_decay = torch.empty(batch, *decay.shape[:-1], channels)
        grad_write, grad_read = torch.empty(parts), torch.empty(parts)
        rows = {"x": x, "step": step, "write": write, "read": read, "grad_y": grad_y}
        _run(
            "seqzoo_scan_backward",
            rows,
            decay,
            grad_x=grad_x,
            grad_step=grad_step,
            grad_decay=grad_decay,
            grad_write=grad_write,
            grad_read=grad_read,
        )
        if decay.dim() == 1:
            grad_step = grad_step.view(*step.shape, -1).sum(-1)
            grad_decay = grad_decay.view(batch, len(decay), -1).sum(-1)
        found = (grad_x, grad_step, grad_decay.sum(0), grad_write.sum(0), grad_read.sum(0))
        return tuple(
            gradient.to(argument.dtype)
            for gradient, argument in zip(found, ctx.saved_tensors, strict=True)
        )


def _scan_shapes(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    dimensions: int = 3,
    **others: tuple[Shape, Shape],
) -> str:
    """Which shape does not fit x [B, L, I], or [B, I]; empty if all do."""
    states = len(decay) if decay.dim() else 0
    return wrong_dimensions(x, dimensions) or unexpected_shape(
        step=(step.shape, x.shape),
        decay=(decay.shape, (states, *x.shape[-1:])),
        write=(write.shape, (*x.shape[:-1], states)),
        **others,
    )


def _ssd_shapes(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    dimensions: int = 4,
    **others: tuple[Shape, Shape],
) -> str:
    """Which shape does not fit x [B, L, H, P], or [B, H, P]; empty if all do."""
    return wrong_dimensions(x, dimensions) or unexpected_shape(
        step=(step.shape, x.shape[:-1]),
        decay=(decay.shape, x.shape[-2:-1]),
        write=(write.shape, (*x.shape[:-2], *write.shape[-1:])),
        **others,
    )


def _run(name: str, rows: dict[str, Tensor], decay: Tensor, **others: Tensor) -> None:
    """Call the kernel with tensors named as in ``scan.c``."""
    # Kept until the call returns: a copy has no other owner.
    rows = {key: packed(tensor) for key, tensor in rows.items()}
    decay = decay.detach().float().contiguous()
    batch, length, channels = rows["x"].shape
    shared = decay.dim() == 1
    arguments = Scan(
        batch,
        length,
        channels,
        rows["write"].shape[-1],
        channels // max(1, len(decay)) if shared else 1,
        shared,
        torch.get_num_threads(),
        **{key: Rows.of(tensor) for key, tensor in rows.items()},
        decay=decay.data_ptr(),
        **{key: tensor.data_ptr() for key, tensor in others.items()},
    )
    call(name, ctypes.byref(arguments))


def _run_last(
    name: str,
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    lengths: Tensor,
    state: Tensor,
) -> None:
    """Write the states at the end of each sequence of x [B, L, I] to ``state``, float32."""
    # Kept until the call returns: a copy has no other owner.
    lengths = lengths.to("cpu", torch.int64).contiguous()
    rows = {"x": x, "step": step, "write": write}
    _run(name, rows, decay, lengths=lengths, last=state)


def _run_step(
    name: str,
    structure: type[ctypes.Structure],
    sizes: tuple[int, ...],
    arguments: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor]:
    """Call the kernel of one step with x, step, decay, write, read and state."""
    # Kept until the call returns: a copy has no other owner.
    given = [tensor.float().contiguous() for tensor in arguments]
    y, after = torch.empty_like(given[0]), torch.empty_like(given[-1])
    pointers = [tensor.data_ptr() for tensor in (*given, y, after)]
    call(name, ctypes.byref(structure(*sizes, torch.get_num_threads(), *pointers)))
    return y.to(arguments[0].dtype), after.to(arguments[-1].dtype)
