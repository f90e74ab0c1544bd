"""Causal sums over histories in linear time, by chunks.

Within a chunk every event is compared with those before it; what came before the chunk is a state
of constant size. Sums run in float32 or wider, even in mixed precision.

Shapes in brackets: B histories, L positions, n chunks of c positions, H heads, Q and W widths of a
head's keys and values, D width of the model, P width of the position vectors, G groups of the
temporal channel.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo_fuxi_linear.times import Clock

__all__ = ["even_chunk", "positional", "retention", "temporal"]


def retention(query: Tensor, key: Tensor, value: Tensor, rates: Tensor, chunk: int) -> Tensor:
    """``sum over j <= i of exp(-rate (i - j + 1)) (q_i . k_j) v_j`` for each head.

    Args:
        query: [B, L, H, Q].
        key: [B, L, H, Q].
        value: [B, L, H, W].
        rates: the rates of each head [H], positive.
        chunk: positions of a chunk, at most.

    Returns:
        Sums [B, L, H, W].
    """
    length = query.shape[1]
    chunk = even_chunk(length, chunk)
    # [B, n, H, c, Q or W]
    query, key, value = (_chunks(each, chunk).transpose(2, 3) for each in (query, key, value))
    position = torch.arange(chunk, device=query.device)
    age = (position[:, None] - position).clamp(min=0)
    kept = (-rates[:, None, None] * (age + 1)).exp().tril()
    sums = (query @ key.mT * kept) @ value
    if query.shape[1] > 1:
        since = (-rates[:, None, None] * (position[:, None] + 2)).exp()
        until = (-rates[:, None, None] * (chunk - 1 - position[:, None])).exp()
        added = (key * until).mT @ value
        state = _carried(added, (-rates * chunk).exp()[:, None, None])
        sums = sums + (query * since) @ state
    return sums.transpose(2, 3).flatten(1, 2)[:, :length]


def positional(vectors: Tensor, values: Tensor, chunk: int) -> Tensor:
    """``sum over j <= i of (e_i . e_j) w_j``: [L, P], [B, L, D] -> [B, L, D]."""
    length = values.shape[1]
    chunk = even_chunk(length, chunk)
    rows = _chunks(vectors[None], chunk)[0]
    values = _chunks(values, chunk)
    sums = (rows @ rows.mT).tril() @ values
    if len(rows) > 1:
        added = (rows.mT @ values).cumsum(1)
        # What is added after the last event of a chunk is for the chunks after it.
        sums = torch.cat([sums[:, :1], sums[:, 1:] + rows[1:] @ added[:, :-1]], dim=1)
    return sums.flatten(1, 2)[:, :length]


def temporal(clock: Clock, values: Tensor) -> Tensor:
    """The sums over events of damped sines and cosines of their ages.

    Args:
        clock: the weights.
        values: [B, L, G, W]; the first half of the groups is for the sines.

    Returns:
        Sums [B, L, G, W].
    """
    length, width = values.shape[1], values.shape[-1]
    chunk = clock.sizes.shape[-2]
    # [B, n, H, c, sine and cosine x W]
    values = torch.unflatten(_chunks(values, chunk), 3, (2, -1))
    values = values.permute(0, 1, 4, 2, 3, 5).flatten(4)
    cosines, sines = clock.events
    parts = torch.cat([cosines * values, -sines * values], dim=-1)
    sizes = clock.sizes
    if values.shape[1] > 1:
        real, imaginary = (clock.written @ parts)[..., 0, :].chunk(2, dim=-1)
        added = clock.turned * torch.complex(real, imaginary)
        state = _carried(added, clock.turned * clock.kept)
        before = torch.cat([state.real, state.imag], dim=-1)[..., None, :]
        parts = torch.cat([before, parts], dim=-2)
    else:
        sizes = sizes[..., 1:]
    parts = torch.unflatten(sizes @ parts, -1, (2, 2, width))
    cosines, sines = clock.rows
    of_sines = cosines * parts[..., 1, 0, :] + sines * parts[..., 0, 0, :]
    of_cosines = cosines * parts[..., 0, 1, :] - sines * parts[..., 1, 1, :]
    # [B, n, c, 2, H, W]
    sums = torch.stack([of_sines, of_cosines], dim=2).permute(0, 1, 4, 2, 3, 5)
    return sums.flatten(3, 4).flatten(1, 2)[:, :length]


def even_chunk(length: int, most: int) -> int:
    """Positions of a chunk, at most ``most``, so that the last chunk is nearly full as well."""
    return -(-length // -(-length // most))


def _chunks(values: Tensor, chunk: int) -> Tensor:
    """[B, L, ...] -> [B, n, c, ...], with zeros after the last position."""
    missing = -values.shape[1] % chunk
    if missing:
        values = functional.pad(values, (0, 0) * (values.dim() - 2) + (0, missing))
    return torch.unflatten(values, 1, (-1, chunk))


def _carried(added: Tensor, kept: Tensor) -> Tensor:
    """The state before each chunk: [B, n, ...] -> [B, n, ...].

    Args:
        added: what each chunk adds.
        kept: the share of the state that a chunk keeps, for all chunks, or for each [B, n, ...].
    """
    states = [torch.zeros_like(added[:, 0])]
    for index in range(added.shape[1] - 1):
        share = kept[:, index] if kept.dim() == added.dim() else kept
        states.append(share * states[-1] + added[:, index])
    return torch.stack(states, dim=1)
