"""Running statistics of a history: a softmax over the events so far, and their mean.

Shapes in brackets: B histories, T positions of a chunk, H heads, K experts, E = D / H.
"""

from typing import TypeAlias

import torch
from torch import Tensor

SoftmaxState: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Greatest score [B, H, K], mass [B, H, K] and mean value [B, H, K, E] of the events so far.

The mass is the denominator of the softmax, relative to the greatest score. The mean is the
numerator divided by it. It is kept instead of the numerator because it stays in the range of the
values.
"""

MeanState: TypeAlias = tuple[Tensor, Tensor]
"""Sum [B, D] and number [B, 1] of the events so far."""


def running_softmax(
    scores: Tensor, values: Tensor, state: SoftmaxState, rates: Tensor | None = None
) -> tuple[Tensor, SoftmaxState]:
    """The softmax-weighted mean of values, at each position over the events up to it.

    Scores are relative to the greatest one up to the position that reads them, so that large ones
    do not overflow and early ones do not vanish. This needs a weight for each pair of positions: a
    chunk takes O(T^2 K D) time and O(T^2 K H) memory.

    Args:
        scores: of each event for each head and expert [B, T, H, K].
        values: of each event [B, T, H, E].
        state: after the events before the chunk.
        rates: how much a score falls with each later event [H, K]; None for not at all.

    Returns:
        Means [B, T, K, H * E], and the state after the chunk, which shares no memory with them.
    """
    # Half precision would lose small events in a large mass.
    with torch.autocast(scores.device.type, enabled=False):
        maximum, mass, mean = state
        scores = scores.to(mass.dtype).movedim(1, -1)
        values = values.to(mass.dtype).transpose(1, 2)
        length = scores.shape[-1]
        if rates is not None:
            # Raising later scores equals lowering earlier ones: a softmax depends on differences.
            scores = scores + ages_from_start(rates, length)
        # The means do not depend on the reference, so it needs no gradient.
        reference = torch.maximum(maximum.detach()[..., None], scores.detach().cummax(-1).values)
        future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
        # Masked before exp, not after: later scores may be far above the reference and overflow.
        gaps = scores[..., None, :] - reference[..., None]
        weights = gaps.masked_fill(future, -torch.inf).exp()
        carried = mass[..., None] * (maximum[..., None] - reference).exp()
        total = carried + weights.sum(-1)
        recent = (weights / total[..., None]).flatten(2, 3) @ values
        means = recent.view(*gaps.shape[:4], -1)
        means = means + (carried / total)[..., None] * mean[..., None, :]
        # Copies, since views would keep the whole chunk in memory as long as the state.
        greatest = reference[..., -1].clone()
        state = (
            greatest if rates is None else greatest - rates * length,
            total[..., -1].clone(),
            means[..., -1, :].clone(),
        )
        return means.permute(0, 3, 2, 1, 4).flatten(3), state


def ages_from_start(rates: Tensor, length: int) -> Tensor:
    """What is added to the scores of events 0 to L - 1, for the first 0: [H, K] -> [H, K, L]."""
    return rates[..., None] * torch.arange(length, dtype=rates.dtype, device=rates.device)


def running_mean(vectors: Tensor, state: MeanState) -> tuple[Tensor, MeanState]:
    """The mean of vectors, at each position over those up to it: [B, T, D] -> same, new state."""
    total, count = state
    sums = total[:, None] + vectors.cumsum(1)
    counts = count + torch.arange(1, vectors.shape[1] + 1, dtype=count.dtype, device=count.device)
    return sums / counts[..., None], (sums[:, -1].clone(), counts[:, -1:].clone())
