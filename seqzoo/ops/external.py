"""Kernels of mamba-ssm and causal-conv1d, behind the signatures of the torch implementations.

A package is imported only when its adapter is called. A ``*_limits`` function gets the arguments of
a call and returns why the kernel cannot take them, or an empty string. The ``fused_*`` functions
get the kernel as an argument, because the Hub has builds of the same kernels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seqzoo.ops.precision import widened, without_autocast

__all__ = [
    "causal_conv1d_convolution",
    "convolution_limits",
    "fused_convolution",
    "fused_selective_scan",
    "fused_ssd",
    "mamba_ssm_selective_scan",
    "mamba_ssm_ssd",
    "scan_limits",
    "ssd_limits",
]

_SCAN_STATES = 256
_CONVOLUTION_TAPS = (2, 4)
_SSD_CHUNK = 64
"""Chunk size of mamba-ssm's SSD kernel: a power of two. Results do not depend on it."""


def scan_limits(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> str:
    """Why mamba-ssm's Mamba-1 kernel refuses: float64, or more than 256 states per channel."""
    if len(decay) > _SCAN_STATES:
        return f"{len(decay)} states per channel, the kernel takes up to {_SCAN_STATES}"
    return _float64_among(x, step, decay, write, read)


def mamba_ssm_selective_scan(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
) -> Tensor:
    """``selective_scan`` by mamba-ssm's fused kernel."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return fused_selective_scan(selective_scan_fn, x, step, decay, write, read)


def fused_selective_scan(
    kernel: Callable[..., Tensor],
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
) -> Tensor:
    """``selective_scan`` by mamba-ssm's ``selective_scan_fn``.

    The kernel takes channels before time, and requires one dtype for all but ``decay``. Autocast
    gives float32 steps (softplus) and half-precision inputs, so all are widened to float32, as
    the torch implementation does.
    """

    def channels_first(tensor: Tensor) -> Tensor:
        return widened(tensor).transpose(1, 2).contiguous()

    with without_autocast(x.device):
        y = kernel(
            channels_first(x),
            channels_first(step),
            decay.T.contiguous().float(),
            channels_first(write),
            channels_first(read),
        )
    return y.transpose(1, 2).to(x.dtype)


def ssd_limits(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = _SSD_CHUNK,
) -> str:
    """Why mamba-ssm's Mamba-2 kernel refuses: float64."""
    return _float64_among(x, step, decay, write, read)


def mamba_ssm_ssd(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = _SSD_CHUNK,
) -> Tensor:
    """``ssd`` by mamba-ssm's fused kernel, which has its own chunk size."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    return fused_ssd(mamba_chunk_scan_combined, x, step, decay, write, read)


def fused_ssd(
    kernel: Callable[..., Tensor],
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
) -> Tensor:
    """``ssd`` by mamba-ssm's ``mamba_chunk_scan_combined``."""
    with without_autocast(x.device):
        y = kernel(
            widened(x).contiguous(),
            widened(step).contiguous(),
            decay.float(),
            # One group of projections, which all heads share.
            widened(write)[:, :, None].contiguous(),
            widened(read)[:, :, None].contiguous(),
            _SSD_CHUNK,
        )
    return y.to(x.dtype)


def convolution_limits(x: Tensor, weight: Tensor, bias: Tensor) -> str:
    """Why causal-conv1d's kernel refuses: float64, or fewer than 2 or more than 4 taps."""
    taps = weight.shape[1]
    low, high = _CONVOLUTION_TAPS
    if not low <= taps <= high:
        return f"{taps} taps, the kernel takes {low} to {high}"
    return _float64_among(x, weight, bias)


def causal_conv1d_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``causal_convolution`` by causal-conv1d's fused kernel."""
    from causal_conv1d import causal_conv1d_fn

    return fused_convolution(causal_conv1d_fn, x, weight, bias)


def fused_convolution(
    kernel: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """``causal_convolution`` by ``causal_conv1d_fn``, which takes channels before time."""
    # The dtype that torch gives the result, where weights are wider than the input for example.
    dtype = torch.promote_types(x.dtype, torch.promote_types(weight.dtype, bias.dtype))
    with without_autocast(x.device):
        y = kernel(
            x.to(dtype).transpose(1, 2).contiguous(),
            weight.to(dtype),
            bias.to(dtype),
            activation=None,
        )
    return y.transpose(1, 2)


def _float64_among(*tensors: Tensor) -> str:
    doubles = any(tensor.dtype == torch.float64 for tensor in tensors)
    return "float64, the kernel takes float32, float16 and bfloat16" if doubles else ""
