"""Kernels of other packages behind the signatures of ours; imported only to be probed or used."""

from torch import Tensor


def mamba_ssm_selective_scan(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
) -> Tensor:
    """``selective_scan`` by mamba-ssm's fused kernel, which wants channels before time."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    def channels_first(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2).contiguous()

    y: Tensor = selective_scan_fn(
        channels_first(x),
        channels_first(step),
        decay.T.contiguous().float(),
        channels_first(write),
        channels_first(read),
    )
    return y.transpose(1, 2)


_SSD_CHUNK = 64
"""Chunks of mamba-ssm's kernel, which wants a power of two; results do not depend on it."""


def mamba_ssm_ssd(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = _SSD_CHUNK,
) -> Tensor:
    """``ssd`` by mamba-ssm's fused kernel; it takes chunks of its own size."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    y: Tensor = mamba_chunk_scan_combined(
        x.contiguous(),
        step.contiguous(),
        decay.float(),
        # One group of projections, which all heads share.
        write[:, :, None].contiguous(),
        read[:, :, None].contiguous(),
        _SSD_CHUNK,
    )
    return y


def causal_conv1d_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``causal_convolution`` by causal-conv1d's fused kernel, which wants channels before time."""
    from causal_conv1d import causal_conv1d_fn

    y: Tensor = causal_conv1d_fn(x.transpose(1, 2).contiguous(), weight, bias, activation=None)
    return y.transpose(1, 2)
