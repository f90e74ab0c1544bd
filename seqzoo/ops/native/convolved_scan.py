"""The last state of a Mamba block by the compiled kernels; see ``scan_last.c``.

Shapes in brackets: B batch, L positions, D width of the input, I channels, N states per channel, K
taps, R numbers that step sizes are projected from.
"""

import ctypes

import torch
from torch import Tensor

from seqzoo.ops.native.library import (
    Rows,
    call,
    inference_limits,
    packed,
    unexpected_shape,
    wrong_dimensions,
)
from seqzoo.ops.native.panels import in_panels, padded
from seqzoo.ops.native.scan import Scan

__all__ = ["convolved_last_limits", "native_convolved_scan_last"]

_POINTERS = ("project", "kernel", "kernel_bias", "select", "newest")


class _ConvolvedScan(ctypes.Structure):
    _fields_ = (
        ("of", Scan),
        ("inputs", ctypes.c_int64),
        ("taps", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def convolved_last_limits(
    hidden: Tensor,
    project: Tensor,
    taps: Tensor,
    taps_bias: Tensor,
    select: Tensor,
    weight: Tensor,
    bias: Tensor,
    decay: Tensor,
    lengths: Tensor,
) -> str:
    """Why the kernel cannot take these arguments: gradients, float64, autocast, other shapes."""
    floats = (hidden, project, taps, taps_bias, select, weight, bias, decay)
    if torch.is_autocast_enabled("cpu"):
        return "autocast, the kernel computes in float32"
    channels, states, rank = len(project), len(decay), weight.shape[-1]
    return (
        inference_limits(*floats)
        or wrong_dimensions(hidden, 3)
        or unexpected_shape(
            project=(project.shape, (channels, *hidden.shape[2:])),
            taps=(taps.shape, (channels, *taps.shape[-1:])),
            taps_bias=(taps_bias.shape, (channels,)),
            select=(select.shape, (rank + states, channels)),
            weight=(weight.shape, (channels, rank)),
            bias=(bias.shape, (channels,)),
            decay=(decay.shape, (states, channels)),
            lengths=(lengths.shape, hidden.shape[:1]),
        )
    )


def native_convolved_scan_last(
    hidden: Tensor,
    project: Tensor,
    taps: Tensor,
    taps_bias: Tensor,
    select: Tensor,
    weight: Tensor,
    bias: Tensor,
    decay: Tensor,
    lengths: Tensor,
) -> tuple[Tensor, Tensor]:
    """``seqzoo.ops.convolved_scan_last`` by the compiled kernel.

    It goes back from the newest event and stops where all states have forgotten what was before.
    """
    batch, length, width = hidden.shape
    states, channels = decay.shape
    last, newest = torch.empty(batch, states, channels), torch.zeros(batch, channels)
    # Kept until the call returns: a copy has no other owner.
    rows = packed(hidden)
    lengths = lengths.to("cpu", torch.int64).contiguous()
    columns, bias, decay = (
        tensor.detach().float().contiguous() for tensor in (weight.T, bias, decay)
    )
    others = {
        "project": in_panels(project.T),
        "kernel": padded(taps.T),
        "kernel_bias": padded(taps_bias),
        "select": in_panels(select.T),
        "newest": newest,
    }
    scan = Scan(
        *(batch, length, channels, states, 1, 0, torch.get_num_threads(), len(columns)),
        x=Rows.of(rows),
        weight=columns.data_ptr(),
        bias=bias.data_ptr(),
        decay=decay.data_ptr(),
        lengths=lengths.data_ptr(),
        last=last.data_ptr(),
    )
    pointers = {name: tensor.data_ptr() for name, tensor in others.items()}
    arguments = _ConvolvedScan(scan, width, taps.shape[1], **pointers)
    call("seqzoo_convolved_scan_last", ctypes.byref(arguments))
    return last.to(hidden.dtype), newest.to(hidden.dtype)
