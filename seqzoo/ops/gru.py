"""The gated recurrent unit (arXiv 1406.1078) as PyTorch defines it, without biases.

Shapes in brackets: B batch, L positions, D width of the input, G width of the state. The weights
have the rows of three gates, G each: reset, update and new.
"""

import torch
from torch import Tensor

from seqzoo.ops.backends import compiled, in_torch, register, run
from seqzoo.ops.native.gru import gru_last_limits, gru_limits

__all__ = ["gru", "gru_last", "torch_gru", "torch_gru_last"]


def gru(x: Tensor, outer: Tensor, inner: Tensor, backend: str | None = None) -> Tensor:
    """The states of whole sequences, which start from zero: [B, L, G].

    Args:
        x: input [B, L, D].
        outer: weights of the input [3G, D], ``weight_ih`` of ``torch.nn.GRU``.
        inner: weights of the state [3G, G], ``weight_hh``.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    states: Tensor = run("gru", backend, x, outer, inner)
    return states


def gru_last(
    x: Tensor, outer: Tensor, inner: Tensor, lengths: Tensor, backend: str | None = None
) -> Tensor:
    """The state after the newest event of each sequence: [B, G].

    Positions at and after ``lengths`` [B], at least 1, are ignored. Other arguments as in ``gru``.
    Meant for inference.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    state: Tensor = run("gru-last", backend, x, outer, inner, lengths)
    return state


def torch_gru(x: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """``gru`` in PyTorch."""
    start = x.new_zeros(1, len(x), inner.shape[1])
    states, _ = torch.gru(
        x, start, [outer, inner],
        has_biases=False, num_layers=1, dropout=0.0, train=False, bidirectional=False,
        batch_first=True,
    )  # fmt: skip
    return states


def torch_gru_last(x: Tensor, outer: Tensor, inner: Tensor, lengths: Tensor) -> Tensor:
    """``gru_last`` in PyTorch."""
    rows = torch.arange(len(x), device=x.device)
    return torch_gru(x, outer, inner)[rows, lengths - 1]


register(
    compiled("gru", "seqzoo.ops.native.gru:native_gru", gru_limits),
    in_torch("gru", "seqzoo.ops.gru:torch_gru"),
    compiled("gru-last", "seqzoo.ops.native.gru:native_gru_last", gru_last_limits),
    in_torch("gru-last", "seqzoo.ops.gru:torch_gru_last"),
)
