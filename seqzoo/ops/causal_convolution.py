"""Causal depthwise convolution: each channel sees its own newest K values.

Shapes in brackets: B batch, L positions, I channels, K taps.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops.backends import compiled, downloaded, in_torch, packaged, register, run
from seqzoo.ops.external import convolution_limits
from seqzoo.ops.native import convolution

__all__ = ["causal_convolution", "torch_causal_convolution"]


def causal_convolution(
    x: Tensor, weight: Tensor, bias: Tensor, backend: str | None = None
) -> Tensor:
    """Convolve every channel with its own taps, with zeros before the first position: [B, L, I].

    Args:
        x: input [B, L, I].
        weight: taps [I, K]; the last one multiplies the current position.
        bias: [I].
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    y: Tensor = run("causal-convolution", backend, x, weight, bias)
    return y


def torch_causal_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``causal_convolution`` in PyTorch: a sum of shifted products.

    On a CPU this is several times as fast as a grouped convolution.
    """
    taps, length = weight.shape[1], x.shape[1]
    padded = functional.pad(x, (0, 0, taps - 1, 0))
    total = torch.addcmul(bias, padded[:, :length], weight[:, 0])
    for tap in range(1, taps):
        total = torch.addcmul(total, padded[:, tap : tap + length], weight[:, tap])
    return total


_OP = "causal-convolution"
register(
    packaged(
        _OP,
        "causal-conv1d",
        "seqzoo.ops.external:causal_conv1d_convolution",
        convolution_limits,
    ),
    downloaded(_OP, "seqzoo.ops.hub:hub_convolution", convolution_limits),
    compiled(
        _OP,
        "seqzoo.ops.native.convolution:native_causal_convolution",
        convolution.convolution_limits,
    ),
    in_torch(_OP, "seqzoo.ops.causal_convolution:torch_causal_convolution"),
)
