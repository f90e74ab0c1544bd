"""Scores of additive attention at every position, in bounded memory.

Position t scores every j up to it (arXiv 1711.04725)::

    score[t, j] = v . sigmoid(key[j] + query[t])

What the sigmoid gives has G numbers for each pair of positions: 655 MB for 32 histories of 200
events with G = 128. It is worked out for some queries at a time and again in the backward pass.
That is written by hand: on a CPU the layer then takes half the time that autograd needs.

Shapes in brackets: B batch, L positions, T queries of a chunk, J positions that they may read, G
width of the recurrent state.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def additive_scores(queries: Tensor, keys: Tensor, v: Tensor, chunk_size: int) -> Tensor:
    """Scores [B, L, L] of keys [B, L, G] for queries [B, L, G]; v is [G].

    Those of positions after the query's own are left to the caller to mask: some are 0, some not.
    """
    # Under autocast the linear layers before give halves; v is a weight and stays as it is.
    queries, keys = queries.to(v.dtype), keys.to(v.dtype)
    return _AdditiveScores.apply(queries, keys, v, chunk_size)  # type: ignore[no-any-return,no-untyped-call]


class _AdditiveScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, v: Tensor, chunk_size: int) -> Tensor:
        scores = queries.new_zeros(*queries.shape[:2], keys.shape[1])
        for asking, read in _chunks(queries.shape[1], chunk_size):
            scores[:, asking, read] = _inner(queries[:, asking], keys[:, read]) @ v
        ctx.save_for_backward(queries, keys, v)
        ctx.chunk_size = chunk_size
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, v = ctx.saved_tensors
        grad_queries, grad_keys = torch.empty_like(queries), torch.zeros_like(keys)
        grad_v = torch.zeros_like(v)
        for asking, read in _chunks(queries.shape[1], ctx.chunk_size):
            grad = grad_scores[:, asking, read].contiguous()
            inner = _inner(queries[:, asking], keys[:, read])
            grad_v += grad.flatten() @ inner.flatten(0, 2)
            # The sigmoid's slope, s - s^2; v is the same for all and comes in at the end.
            inner.addcmul_(inner, inner, value=-1.0)
            grad_queries[:, asking] = (grad[:, :, None] @ inner).squeeze(2)
            grad_keys[:, read] += inner.mul_(grad[..., None]).sum(1)
        return grad_queries * v, grad_keys * v, grad_v, None


def _chunks(length: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Queries of a chunk, and the positions that some of them may read."""
    for start in range(0, length, size):
        end = min(start + size, length)
        yield slice(start, end), slice(0, end)


def _inner(queries: Tensor, keys: Tensor) -> Tensor:
    """What v weighs: [B, T, G], [B, J, G] -> [B, T, J, G]."""
    return torch.sigmoid_(queries[:, :, None] + keys[:, None])
