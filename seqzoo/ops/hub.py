"""Prebuilt kernels of the Hub, by the ``kernels`` package of Hugging Face.

They run code that is downloaded, so they are used only if the user asks for them by name in the
environment; see ``seqzoo.ops.backends.choose``. The repository is pinned to a commit. ``kernels``
checks that its publisher is trusted by the Hub, and picks the build for this torch and CUDA.
"""

from functools import cache
from typing import Any

from torch import Tensor

from seqzoo.ops import external

__all__ = ["REPOSITORY", "REVISION", "hub_convolution", "hub_selective_scan", "hub_ssd"]

REPOSITORY = "kernels-community/mamba-ssm"
REVISION = "20b2508ad12ae40260291539bf45183000451850"


@cache
def _kernels() -> Any:
    """The module with the kernels, downloaded into the Hub's cache if it is not there yet."""
    from kernels import get_kernel

    return get_kernel(REPOSITORY, revision=REVISION)


def hub_selective_scan(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
) -> Tensor:
    """``selective_scan`` by mamba-ssm's fused kernel."""
    return external.fused_selective_scan(_kernels().selective_scan_fn, x, step, decay, write, read)


def hub_ssd(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, chunk_size: int = 0
) -> Tensor:
    """``ssd`` by mamba-ssm's fused kernel, which has its own chunk size."""
    return external.fused_ssd(_kernels().mamba_chunk_scan_combined, x, step, decay, write, read)


def hub_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``causal_convolution`` by causal-conv1d's fused kernel, which the repository includes."""
    return external.fused_convolution(_kernels().causal_conv1d_fn, x, weight, bias)
