"""Positions in chunks, for recurrences that are computed chunk by chunk."""

import torch
from torch import Tensor

__all__ = ["in_chunks", "kept_within"]


def in_chunks(size: int, *values: Tensor) -> tuple[Tensor, ...]:
    """Chunks of ``size`` positions: each of [B, L, ...] -> [B, T, size, ...].

    After the last position there are zeros, at least a whole chunk: a tracer fixes a number of
    chunks that is 1 in its example, and one that cannot be less than 2 it leaves free.
    """
    length = values[0].shape[1]
    chunks = (length + size - 1) // size + 1
    position = torch.arange(chunks * size, device=values[0].device)
    beyond, position = position >= length, position.clamp(max=length - 1)
    found = []
    for each in values:
        each = each[:, position].masked_fill(beyond.view(-1, *(1,) * (each.dim() - 2)), 0.0)
        found.append(each.view(each.shape[0], chunks, size, *each.shape[2:]))
    return tuple(found)


def kept_within(logs: Tensor) -> Tensor:
    """How much of what j wrote remains at i: [..., C] -> [..., C (j), C (i)].

    It is ``exp(sum of logs over j + 1 .. i)``, and zero for i before j. Each sum is computed by
    itself: the difference of two running sums would lose digits if a step before j was large.
    Positions i before j are masked before ``exp``, not after, so that nothing overflows there and
    gives NaN gradients.
    """
    index = torch.arange(logs.shape[-1], device=logs.device)
    after = index > index[:, None]
    sums = torch.where(after, logs[..., None, :], 0.0).cumsum(-1)
    return sums.masked_fill(index < index[:, None], -torch.inf).exp()
