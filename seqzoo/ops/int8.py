"""Vectors quantised to 7 bits, and a scan for what may belong to the best of each user.

The product of two quantised vectors is off by a bound known for each pair: for ``u = û + f``
and ``t = t̂ + e`` it is ``|u·t - û·t̂| <= |u| |e| + |f| |t̂|`` (Cauchy-Schwarz). So a score lies
between a lower and an upper bound, and an item may belong to the best k if its upper bound reaches
the k-th highest lower bound.

Shapes in brackets: V items, E width, B users, C found items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from seqzoo.topk import Pairs

__all__ = [
    "LARGEST",
    "Found",
    "Int8Table",
    "Quantised",
    "TorchInt8Table",
    "rounded_items",
    "rounded_users",
]

LARGEST = 63
"""Seven bits: sums of two products fit into 16 bits, in which some processors add them."""
_BLOCK = 2**16
"""Number of items whose bounds are computed at a time."""


@dataclass(frozen=True)
class Quantised:
    """Quantised vectors of n items or users.

    Attributes:
        codes: int8 [n, E], from -LARGEST to LARGEST.
        scales: codes times scale is the quantised vector [n].
        errors: at least the length of what was rounded off [n], |e| or |f|.
        lengths: at least |t̂| of items, |u| of users [n].
    """

    codes: Tensor
    scales: Tensor
    errors: Tensor
    lengths: Tensor


class Found(NamedTuple):
    """Items that may belong to the best of a user [C], ascending, with the bounds of the scores."""

    items: Tensor
    lower: Tensor
    upper: Tensor


class Int8Table(Protocol):
    """Quantised vectors of items, in the order that a scan reads."""

    def __init__(self, items: Quantised) -> None: ...

    def candidates(
        self, users: Quantised, k: int, excluded: Sequence[Tensor]
    ) -> "list[Found | None]":
        """What may belong to the best of each user.

        Args:
            users: B quantised vectors.
            k: number of items wanted.
            excluded: items of each user that are left out, int64.

        Returns:
            For each user every item, but for those left out, whose upper bound reaches the k-th
            highest lower bound; None where that is too many.
        """
        ...


def rounded_items(vectors: Tensor) -> Quantised:
    """Round vectors [V, E] of items."""
    codes, scales, errors = _quantised(vectors)
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    # Also for the rounding of a sum in float32; here and below 1.001 is for that of the factors.
    slack = (vectors.shape[1] + 8) * 2.0**-23 * lengths
    return Quantised(codes, scales, errors * 1.001 + slack, (lengths + errors) * 1.001)


def rounded_users(vectors: Tensor) -> Quantised:
    """Round vectors [B, E] of users."""
    codes, scales, errors = _quantised(vectors)
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    return Quantised(codes, scales, errors * 1.001, lengths * 1.001)


class TorchInt8Table:
    """An ``Int8Table`` by PyTorch.

    Args:
        items: quantised vectors.
    """

    def __init__(self, items: Quantised) -> None:
        self._items = items
        self._bounds = torch.stack([items.errors, items.lengths])

    def candidates(
        self, users: Quantised, k: int, excluded: Sequence[Tensor]
    ) -> list[Found | None]:
        """What may belong to the best of each user; never too many."""
        return [self._of_user(users, user, k, gone) for user, gone in enumerate(excluded)]

    def _of_user(self, users: Quantised, user: int, k: int, gone: Tensor) -> Found:
        code, scale = users.codes[user : user + 1], users.scales[user]
        factors = torch.stack([users.lengths[user], users.errors[user]])
        exclude = Pairs(torch.zeros_like(gone), gone)
        items, scales = self._items.codes, self._items.scales
        lowest, floor = scales.new_empty(0), -torch.inf
        found = []
        for start in range(0, len(items), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = torch._int_mm(code, items[part].T)[0] * (scales[part] * scale)
            bound = factors @ self._bounds[:, part]
            scores[exclude.within(start, start + len(scores))[1]] = -torch.inf
            lower, upper = scores - bound, scores + bound
            here = ((upper >= floor) & (upper > -torch.inf)).nonzero()[:, 0]
            lowest = torch.cat([lowest, lower[here]])
            lowest = lowest.topk(min(k, len(lowest))).values
            if len(lowest) == k:
                floor = float(lowest[-1])
            found.append(Found(here + start, lower[here], upper[here]))
        every = Found(*map(torch.cat, zip(*found, strict=True)))
        # Most of what the first blocks found does not reach the last bound.
        reached = every.upper >= floor
        return Found(*(values[reached] for values in every))


def _quantised(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes [n, E], scales [n], and the length of what was rounded off [n]."""
    scales = vectors.abs().amax(1).clamp_min(1e-30) / LARGEST
    codes = (vectors / scales[:, None]).round()
    errors = torch.linalg.vector_norm(vectors - codes * scales[:, None], dim=1)
    return codes.to(torch.int8), scales, errors
