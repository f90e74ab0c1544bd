"""The selective scan and SSD by the compiled kernels; see ``scan.c``.

Shapes in brackets: B batch, L positions, I channels, N states, H heads, P width of a head.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqzoo.ops.native.library import Rows, call, packed

_GROUP = 64
"""Channels of one task; each group has gradients of ``write`` and ``read`` of its own."""
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


class _Scan(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("batch", "length", "channels", "states", "width", "shared", "threads")
        ),
        *((name, Rows) for name in ("x", "step", "write", "read", "grad_y")),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def native_selective_scan(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
) -> Tensor:
    """``seqzoo.ops.selective_scan`` by the compiled kernel."""
    y: Tensor = _SelectiveScan.apply(x, step, decay, write, read)  # type: ignore[no-untyped-call]
    return y.to(x.dtype)


class _SelectiveScan(torch.autograd.Function):
    """Keeps nothing but its arguments for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, step, decay, write, read)
        y = torch.empty(x.shape)
        rows = {"x": x, "step": step, "write": write, "read": read}
        _run("seqzoo_scan_forward", rows, decay, {"y": y})
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, step, decay, write, read = ctx.saved_tensors
        (batch, length, channels), states = x.shape, len(decay)
        parts = (-(-channels // _GROUP), batch, length, states)
        found = {
            "grad_x": torch.empty(x.shape),
            "grad_step": torch.empty(x.shape),
            "grad_decay": torch.empty(batch, states, channels),
            "grad_write": torch.empty(parts),
            "grad_read": torch.empty(parts),
        }
        rows = {"x": x, "step": step, "write": write, "read": read, "grad_y": grad_y}
        _run("seqzoo_scan_backward", rows, decay, found)
        for name in ("grad_decay", "grad_write", "grad_read"):
            found[name] = found[name].sum(0)
        return tuple(
            gradient.to(argument.dtype)
            for gradient, argument in zip(found.values(), ctx.saved_tensors, strict=True)
        )


def _run(name: str, rows: dict[str, Tensor], decay: Tensor, outputs: dict[str, Tensor]) -> None:
    """Call the kernel with tensors named as in ``scan.c``; x [B, L, I]."""
    # Kept until the call returns: a copy has no other owner.
    rows = {key: packed(tensor) for key, tensor in rows.items()}
    decay = decay.detach().float().contiguous()
    arguments = _Scan(
        *rows["x"].shape,
        rows["write"].shape[-1],
        1,
        False,
        torch.get_num_threads(),
        **{key: Rows.of(tensor) for key, tensor in rows.items()},
        decay=decay.data_ptr(),
        **{key: tensor.data_ptr() for key, tensor in outputs.items()},
    )
    call(name, ctypes.byref(arguments))
