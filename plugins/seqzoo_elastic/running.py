"""Running statistics of a history: a softmax over the events so far, and their mean.

Shapes in brackets: B histories, T positions of a chunk, H heads, K experts, E = D / H.
"""

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["MeanState", "SoftmaxState", "ages_from_start", "running_mean", "running_softmax"]

SoftmaxState: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Greatest score [B, H, K], mass [B, H, K] and mean value [B, H, K, E] of the events so far.

The mass is the denominator of the softmax, relative to the greatest score. The mean is the
numerator divided by it. It is kept instead of the numerator because it stays in the range of the
values.
"""

MeanState: TypeAlias = tuple[Tensor, Tensor]
"""Sum [B, D] and number [B, 1] of the events so far."""


def running_softmax(
    scores: Tensor,
    values: Tensor,
    state: SoftmaxState,
    rates: Tensor | None = None,
    *,
    chunk_size: int = 16,
) -> tuple[Tensor, SoftmaxState]:
    """The softmax-weighted mean of values, at each position over the events up to it.

    Scores are relative to the greatest one up to the position that reads them, so that large ones
    do not overflow and early ones do not vanish. Inside a chunk of C positions this needs a weight
    for each pair of them, and so it does among the T / C chunks, which hand on their masses and
    means: O(T (C + T / C) K D) time and O(T (C + T / C) K H) memory.

    Args:
        scores: the scores of each event for each head and expert [B, T, H, K].
        values: the values of each event [B, T, H, E].
        state: the state before the first event.
        rates: how much a score falls with each later event [H, K]; None for no decay.
        chunk_size: C.

    Returns:
        Means [B, T, K, H * E], and the state after the last event, which shares no memory with
        them.
    """
    # Half precision would lose small events in a large mass.
    with torch.autocast(scores.device.type, enabled=False):
        maximum, mass, _ = state
        scores = scores.to(mass.dtype).movedim(1, -1)
        values = values.to(mass.dtype).transpose(1, 2)
        length = scores.shape[-1]
        if length == 1 and not torch.is_grad_enabled():
            return _one_more(scores[..., 0], values[..., 0, :], state, rates)
        if rates is not None:
            # Raising later scores equals lowering earlier ones: a softmax depends on differences.
            scores = scores + ages_from_start(rates, length)
        size = min(chunk_size, length)
        missing = -length % size
        # Positions after the last one weigh nothing.
        scores = functional.pad(scores, (0, missing), value=-torch.inf)
        scores = scores.view(*scores.shape[:-1], -1, size)
        values = functional.pad(values, (0, 0, 0, missing))
        values = values.reshape(*values.shape[:2], -1, size, values.shape[-1])
        # The means do not depend on the reference, so it needs no gradient.
        greatest = scores.detach().flatten(-2).cummax(-1).values.view_as(scores)
        reference = torch.maximum(maximum.detach()[..., None, None], greatest)
        gaps = scores[..., None, :] - reference[..., None]
        # Masked before exp, not after: later scores may be far above the reference and overflow.
        weights = gaps.masked_fill(_later(size, scores.device), -torch.inf).exp()
        masses, means = _before_chunks(weights[..., -1, :], values, reference[..., -1], state)
        previous = torch.cat([maximum.detach()[..., None], reference[..., :-1, -1]], -1)
        carried = masses[..., None] * (previous[..., None] - reference).exp()
        total = carried + weights.sum(-1)
        # [B, H, n, K * C, C] @ [B, H, n, C, E]
        recent = (weights / total[..., None]).movedim(3, 2).flatten(3, 4) @ values
        recent = recent.view(*recent.shape[:3], -1, size, recent.shape[-1]).movedim(2, 3)
        found = recent + (carried / total)[..., None] * means[..., None, :]
        found, total = found.flatten(3, 4), total.flatten(-2)
        last = length - 1
        # Copies, since views would keep the whole chunk in memory as long as the state.
        newest = reference.flatten(-2)[..., last].clone()
        state = (
            newest if rates is None else newest - rates * length,
            total[..., last].clone(),
            found[..., last, :].clone(),
        )
        return found[..., :length, :].permute(0, 3, 2, 1, 4).flatten(3), state


def _before_chunks(
    weights: Tensor, values: Tensor, reference: Tensor, state: SoftmaxState
) -> tuple[Tensor, Tensor]:
    """What each of n chunks finds: the mass and the mean of all events before it.

    Args:
        weights: the weights of the events of each chunk for its last position [B, H, K, n, C].
        values: the values of the events [B, H, n, C, E].
        reference: the greatest score up to the end of each chunk [B, H, K, n].
        state: the state before the first chunk.

    Returns:
        Masses [B, H, K, n], relative to the greatest score before the chunk, and means
        [B, H, K, n, E].
    """
    maximum, mass, mean = state
    chunks = reference.shape[-1]
    if chunks == 1:
        # One, with the gradient of the greatest score, which depends on the rates.
        return (mass * (maximum - maximum.detach()).exp())[..., None], mean[..., None, :]
    # Each chunk but the last, and the state as one more before them.
    masses = torch.cat([mass[..., None], weights[..., :-1, :].sum(-1)], -1)
    sums = torch.einsum("bhknc,bhnce->bhkne", weights[..., :-1, :], values[:, :, :-1])
    sums = torch.cat([(mass[..., None] * mean)[..., None, :], sums], -2)
    ends = torch.cat([maximum.detach()[..., None], reference[..., :-1]], -1)
    # The greatest scores never fall, so no factor is above one.
    shrunk = ends[..., None, :] - ends[..., :, None]
    shrunk = shrunk.masked_fill(_later(chunks, ends.device), -torch.inf).exp()
    # The greatest score of the state depends on the rates; all others need no gradient.
    first = (maximum[..., None] - ends).exp()
    shrunk = torch.cat([first[..., None], shrunk[..., 1:]], -1)
    masses = (shrunk @ masses[..., None])[..., 0]
    sums = shrunk @ sums
    return masses, sums / masses.clamp(min=torch.finfo(masses.dtype).tiny)[..., None]


def _later(size: int, device: torch.device) -> Tensor:
    """True where a column is after its row [size, size]."""
    return torch.ones(size, size, dtype=torch.bool, device=device).triu(1)


def _one_more(
    scores: Tensor, values: Tensor, state: SoftmaxState, rates: Tensor | None
) -> tuple[Tensor, SoftmaxState]:
    """``running_softmax`` for one event: [B, H, K], [B, H, E] -> [B, 1, K, H * E], and the state.

    It needs no weights for pairs of positions, and every operation can be exported. Gradients need
    the rates in the graph, on which one event does not depend.
    """
    maximum, mass, mean = state
    reference = torch.maximum(maximum, scores)
    carried = mass * (maximum - reference).exp()
    own = (scores - reference).exp()
    total = carried + own
    mean = (own / total)[..., None] * values[:, :, None] + (carried / total)[..., None] * mean
    greatest = reference if rates is None else reference - rates
    return mean.transpose(1, 2).flatten(2)[:, None], (greatest, total, mean)


def ages_from_start(rates: Tensor, length: int) -> Tensor:
    """What is added to the scores of events 0 to L - 1, for the first 0: [H, K] -> [H, K, L]."""
    return rates[..., None] * torch.arange(length, dtype=rates.dtype, device=rates.device)


def running_mean(vectors: Tensor, state: MeanState) -> tuple[Tensor, MeanState]:
    """The mean of vectors, at each position over those up to it: [B, T, D] -> same, new state."""
    total, count = state
    sums = total[:, None] + vectors.cumsum(1)
    counts = count + torch.arange(1, vectors.shape[1] + 1, dtype=count.dtype, device=count.device)
    return sums / counts[..., None], (sums[:, -1].clone(), counts[:, -1:].clone())
