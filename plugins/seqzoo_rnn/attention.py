"""Scores of additive attention at all positions, in bounded memory.

Position t scores every position j up to t (arXiv 1711.04725)::

    score[t, j] = v . sigmoid(key[j] + query[t])

The sigmoid has G values for each pair of positions: 655 MB for 32 histories of 200 events with
G = 128. It is therefore computed for a chunk of queries at a time, and again in the backward pass.
The backward pass is written by hand: on a CPU the layer then takes half of the time that autograd
needs.

Shapes in brackets: B batch, L positions, T queries of a chunk, J positions that they may read, G
width of the recurrent state.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["additive_scores"]


def additive_scores(queries: Tensor, keys: Tensor, v: Tensor, chunk_size: int) -> Tensor:
    """Scores of all keys for all queries: [B, L, L].

    Args:
        queries: [B, L, G].
        keys: [B, L, G].
        v: weights [G].
        chunk_size: number of queries T that are computed at a time.

    Scores for keys after the query's own position have no meaning; the caller masks them.
    """
    # Under autocast the linear layers give half precision, while v, a weight, stays float32.
    queries, keys = queries.to(v.dtype), keys.to(v.dtype)
    return _AdditiveScores.apply(queries, keys, v, chunk_size)  # type: ignore[no-any-return,no-untyped-call]


class _AdditiveScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, v: Tensor, chunk_size: int) -> Tensor:
        scores = queries.new_zeros(*queries.shape[:2], keys.shape[1])
        for rows, columns in _chunks(queries.shape[1], chunk_size):
            scores[:, rows, columns] = _inner(queries[:, rows], keys[:, columns]) @ v
        ctx.save_for_backward(queries, keys, v)
        ctx.chunk_size = chunk_size
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, v = ctx.saved_tensors
        grad_queries, grad_keys = torch.empty_like(queries), torch.zeros_like(keys)
        grad_v = torch.zeros_like(v)
        for rows, columns in _chunks(queries.shape[1], ctx.chunk_size):
            grad = grad_scores[:, rows, columns].contiguous()
            inner = _inner(queries[:, rows], keys[:, columns])
            grad_v += grad.flatten() @ inner.flatten(0, 2)
            # The derivative of the sigmoid, s - s^2. The factor v is applied at the end.
            inner.addcmul_(inner, inner, value=-1.0)
            grad_queries[:, rows] = (grad[:, :, None] @ inner).squeeze(2)
            grad_keys[:, columns] += inner.mul_(grad[..., None]).sum(1)
        return grad_queries * v, grad_keys * v, grad_v, None


def _chunks(length: int, size: int) -> Iterator[tuple[slice, slice]]:
    """The queries of each chunk, and the positions that at least one of them may read."""
    for start in range(0, length, size):
        end = min(start + size, length)
        yield slice(start, end), slice(0, end)


def _inner(queries: Tensor, keys: Tensor) -> Tensor:
    """The sigmoid, before the product with v: [B, T, G], [B, J, G] -> [B, T, J, G]."""
    return torch.sigmoid_(queries[:, :, None] + keys[:, None])
