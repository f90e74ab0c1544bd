"""Exact search of the best items: a scan of rounded vectors, then the real scores.

The rounded vectors take a quarter of the memory, which is what a scan for one user waits for. The
scan finds every item whose rounded score is so high that the real one may belong to the best; these
few are scored again with the real vectors. See ``seqzoo.ops.int8``.
"""

from dataclasses import fields

import torch
from torch import Tensor, nn

from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.ops.int8 import Quantised, TorchInt8Table, rounded_items, rounded_users
from seqzoo.ops.int8_scan import int8_table
from seqzoo.parts.heads import TiedHead

__all__ = [
    "Int8Index",
]

_BLOCK = 2**16
"""Number of vectors that are rounded at a time."""
_MOST_USERS = 4
"""Without the compiled kernels, the scores of more users are computed as fast in float32."""


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
        blocks = [
            rounded_items(head.item_vectors(table, slice(start, start + _BLOCK)).float())
            for start in range(0, len(table), _BLOCK)
        ]
        items = Quantised(
            **{
                each.name: torch.cat([getattr(block, each.name) for block in blocks])
                for each in fields(Quantised)
            }
        )
        factors = torch.stack([items.errors, items.lengths])
        if not bool(factors.isfinite().all()):
            raise NotFiniteError(
                "an item vector is NaN or too large: the weights are damaged; load another "
                "checkpoint, or train again with a lower learning rate"
            )
        self._longest = factors.amax()
        self._table = int8_table(items)
        self._most_users = _MOST_USERS if isinstance(self._table, TorchInt8Table) else None

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
        count, most = len(hidden), self._most_users
        if candidates is not None or not count or (most is not None and count > most):
            return self._head.topk(hidden, k, exclude, candidates)
        vectors = self._head.user_vectors(hidden).float()
        # Scores that overflow, or NaN, are for the head: here they would compare false.
        if not bool((torch.linalg.vector_norm(vectors, dim=1) * self._longest).isfinite().all()):
            return self._head.topk(hidden, k, exclude, candidates)
        gone = _excluded(count, exclude)
        found = self._table.candidates(rounded_users(vectors), k, gone)
        answers = []
        for row, of_user in enumerate(found):
            if of_user is None:
                own = None if exclude is None else (torch.zeros_like(gone[row]), gone[row])
                answers.append([each[0] for each in self._head.topk(hidden[row : row + 1], k, own)])
            else:
                answers.append(self._best(vectors[row], k, of_user.items))
        return torch.stack([a[0] for a in answers]), torch.stack([a[1] for a in answers])

    def _best(self, user: Tensor, k: int, items: Tensor) -> list[Tensor]:
        """The best of some items by their real scores; equal ones in the order of the items."""
        real = self._head.item_vectors(self._head.table, items).float() @ user
        real, order = real.sort(descending=True, stable=True)
        missing = max(0, k - len(items))
        values = torch.cat([real[:k], real.new_full((missing,), -torch.inf)])
        return [values, torch.cat([items[order][:k], items.new_zeros(missing)])]


def _excluded(users: int, exclude: tuple[Tensor, Tensor] | None) -> list[Tensor]:
    """The items that are left out of each user's best, padding among them."""
    padding = torch.zeros(1, dtype=torch.int64)
    if exclude is None:
        return [padding] * users
    rows, order = exclude[0].sort()
    counts = torch.bincount(rows, minlength=users).tolist()
    return [torch.cat([padding, own]) for own in torch.split(exclude[1][order], counts)]


def _state(head: TiedHead) -> list[tuple[int, int]]:
    """Changes when the head's weights do."""
    weights = [head.table, *head.parameters()]
    return [(w.data_ptr(), 0 if w.is_inference() else w._version) for w in weights]
