"""Exact search of the best items for one user: a scan of 7-bit vectors, then the real scores.

The rounded vectors take a quarter of the memory, which is what a scan for one user waits for. Their
scores differ from the real ones by at most a bound that is known for each pair of user and item:
for ``u = û + f`` and ``t = t̂ + e``, ``|u·t - û·t̂| <= |u| |e| + |f| |t̂|`` (Cauchy-Schwarz). Every
item whose upper bound reaches the k-th highest lower bound is scored again with the real vectors.
"""

import torch
from torch import Tensor, nn

from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.parts.heads import TiedHead
from seqzoo.topk import Pairs

__all__ = [
    "Int8Index",
]

_LARGEST = 63
"""Seven bits: sums of two products fit into 16 bits, in which some processors add them."""
_BLOCK = 2**16
_MOST_USERS = 4
"""For more users the scores in float32 are as fast."""


class Int8Index:
    """Finds the same items as ``head.topk``, with the same scores within rounding.

    Args:
        head: a head whose scores are dot products. Its vectors are rounded and kept: after a change
            of the weights a new index is needed.

    Raises:
        UsageError: the head computes other scores, or is not on the CPU.
        NotFiniteError: an item vector is NaN or infinite.
    """

    @torch.no_grad()
    def __init__(self, head: object) -> None:
        if not isinstance(head, TiedHead) or type(head).forward is not TiedHead.forward:
            raise UsageError(
                f"the index 'int8' needs a head with dot products; {type(head).__name__} computes "
                "its scores otherwise; use no index"
            )
        table = head.table
        if not table.is_cpu or not isinstance(table, nn.Parameter):
            kind = f"on {table.device}" if not table.is_cpu else "computed by the embedder"
            raise UsageError(
                f"the index 'int8' needs an item table that is a parameter on the CPU; it is {kind}"
            )
        self._head, self._state = head, _state(head)
        codes, scales, bounds = [], [], []
        for start in range(0, len(table), _BLOCK):
            vectors = head.item_vectors(table, slice(start, start + _BLOCK)).float()
            code, scale, error = _rounded(vectors)
            codes.append(code)
            scales.append(scale)
            # Of the two factors of the bound, the item's: |e|, and |t̂| <= |t| + |e|; and |t| for
            # the rounding of a float32 sum.
            length = torch.linalg.vector_norm(vectors, dim=1)
            slack = (vectors.shape[1] + 8) * 2.0**-23 * length
            bounds.append(torch.stack([error * 1.001 + slack, (length + error) * 1.001]))
        self._codes, self._scales = torch.cat(codes), torch.cat(scales)
        self._bounds = torch.cat(bounds, dim=1)
        self._longest = self._bounds.amax()
        if not bool(self._bounds.isfinite().all()):
            raise NotFiniteError(
                "an item vector is NaN or too large: the weights are damaged; load another "
                "checkpoint, or train again with a lower learning rate"
            )

    def topk(
        self,
        hidden: Tensor,
        k: int,
        exclude: tuple[Tensor, Tensor] | None = None,
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As ``Head.topk``.

        Raises:
            UsageError: the weights have changed since the index was made.
        """
        if _state(self._head) != self._state:
            raise UsageError(
                "the weights have changed since the index was made; make it again: "
                "model.use_index('int8')"
            )
        if candidates is not None or not 0 < len(hidden) <= _MOST_USERS:
            return self._head.topk(hidden, k, exclude, candidates)
        users = self._head.user_vectors(hidden).float()
        # Scores that overflow, or NaN, are for the head: here they would compare false.
        if not bool((torch.linalg.vector_norm(users, dim=1) * self._longest).isfinite().all()):
            return self._head.topk(hidden, k, exclude, candidates)
        answers = []
        for row, user in enumerate(users):
            gone = torch.zeros(1, dtype=torch.int64)
            if exclude is not None:
                gone = torch.cat([gone, exclude[1][exclude[0] == row]])
            answers.append(self._best(user, k, Pairs(torch.zeros_like(gone), gone)))
        return torch.stack([a[0] for a in answers]), torch.stack([a[1] for a in answers])

    def _best(self, user: Tensor, k: int, exclude: Pairs) -> tuple[Tensor, Tensor]:
        code, scale, error = _rounded(user[None])
        factors = torch.stack([torch.linalg.vector_norm(user) * 1.001, error[0] * 1.001])
        lowest, floor = torch.empty(0), -torch.inf
        found, uppers = [], []
        for start in range(0, len(self._codes), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = torch._int_mm(code, self._codes[part].T)[0] * (self._scales[part] * scale)
            bound = factors @ self._bounds[:, part]
            scores[exclude.within(start, start + len(scores))[1]] = -torch.inf
            upper = scores + bound
            items = ((upper >= floor) & (upper > -torch.inf)).nonzero()[:, 0]
            if not len(items):
                continue
            lower = torch.cat([lowest, (scores - bound)[items]])
            lowest = lower.topk(min(k, len(lower))).values
            if len(lowest) == k:
                floor = float(lowest[-1])
            found.append(items + start)
            uppers.append(upper[items])
        # Most of what the first blocks found does not reach the last bound.
        items = torch.cat(found)[torch.cat(uppers) >= floor] if found else torch.empty(0).long()
        real = self._head.item_vectors(self._head.table, items).float() @ user
        real, order = real.sort(descending=True, stable=True)
        missing = max(0, k - len(items))
        values = torch.cat([real[:k], real.new_full((missing,), -torch.inf)])
        return values, torch.cat([items[order][:k], items.new_zeros(missing)])


def _rounded(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes [n, E] in 7 bits, the scale of each row [n], and the length of its error [n]."""
    scale = vectors.abs().amax(1).clamp_min(1e-30) / _LARGEST
    codes = (vectors / scale[:, None]).round()
    error = torch.linalg.vector_norm(vectors - codes * scale[:, None], dim=1)
    return codes.to(torch.int8), scale, error


def _state(head: TiedHead) -> list[tuple[int, int]]:
    """Changes when the head's weights do."""
    weights = [head.table, *head.parameters()]
    return [(w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights]
