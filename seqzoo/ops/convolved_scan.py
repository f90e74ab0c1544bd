"""The last state of the selective scan of a Mamba block, from the block's own input.

Projection, causal convolution and SiLU give the input of the scan, from which its step sizes and
its ``write`` are projected. One kernel for all of it need not compute what the states forget.

Shapes in brackets: B batch, L positions, D width of the input, I channels, N states per channel, K
taps, R numbers that step sizes are projected from.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops.backends import compiled, in_torch, register, run
from seqzoo.ops.causal_convolution import torch_causal_convolution
from seqzoo.ops.exporting import softplus
from seqzoo.ops.native.convolved_scan import convolved_last_limits
from seqzoo.ops.selective_scan import selective_scan_last

__all__ = ["convolved_scan_last", "torch_convolved_scan_last"]


def convolved_scan_last(
    hidden: Tensor,
    project: Tensor,
    taps: Tensor,
    taps_bias: Tensor,
    select: Tensor,
    weight: Tensor,
    bias: Tensor,
    decay: Tensor,
    lengths: Tensor,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The state after the newest event of each sequence [B, N, I], and x of that event [B, I].

    ``selective_scan_last`` for x = silu(causal_convolution(hidden @ project.T)), with
    ``low, write = x @ select.T`` and ``step = softplus(low @ weight.T + bias)``. Meant for
    inference.

    Args:
        hidden: input [B, L, D].
        project: [I, D].
        taps: of the convolution [I, K].
        taps_bias: [I].
        select: [R + N, I].
        weight: [I, R].
        bias: [I].
        decay: negative rates [N, I].
        lengths: number of positions of each sequence [B], at least 1; others are ignored.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    arguments = (hidden, project, taps, taps_bias, select, weight, bias, decay, lengths)
    found: tuple[Tensor, Tensor] = run("convolved-scan-last", backend, *arguments)
    return found


def torch_convolved_scan_last(
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
    """``convolved_scan_last`` in PyTorch."""
    projected = functional.linear(hidden, project)
    x = functional.silu(torch_causal_convolution(projected, taps, taps_bias))
    chosen = functional.linear(x, select)
    low, write = torch.split(chosen, [weight.shape[1], decay.shape[0]], dim=-1)
    step = softplus(functional.linear(low, weight, bias))
    # While a model is exported this is the form that can be.
    state = selective_scan_last(x, step, decay, write, lengths, "torch")
    rows = torch.arange(lengths.shape[0], device=lengths.device)
    return state, x[rows, lengths - 1]


register(
    compiled(
        "convolved-scan-last",
        "seqzoo.ops.native.convolved_scan:native_convolved_scan_last",
        convolved_last_limits,
    ),
    in_torch("convolved-scan-last", "seqzoo.ops.convolved_scan:torch_convolved_scan_last"),
)
