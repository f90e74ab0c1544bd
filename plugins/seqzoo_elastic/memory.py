"""The interest memory: many learnt vectors of which one query reads a few, found by product keys.

That the memory is large and read sparsely is the paper's (arXiv 2408.09380, abstract). Product keys
(arXiv 1907.05242) are our choice: they find the best of m * m slots with 2 m comparisons. The
query is normalised by LayerNorm, where their authors use BatchNorm, so that a history gets the same
vector in any batch. Keys start at one length, so that no slot is found more often than others for
its size; nothing balances their use later (no auxiliary loss), and a trained memory may have come
to rest on few slots.

Shapes in brackets: D width, R slots that a query reads, m keys of a half, K experts.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo_elastic.config import ElasticConfig


class InterestMemory(nn.Module):
    """m x m slots behind two sets of m half-keys."""

    def __init__(self, config: ElasticConfig) -> None:
        super().__init__()
        width, size = config.hidden_size, config.memory_size
        self.size = size
        self.num_retrieved = config.num_retrieved
        self.query = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.keys = nn.Parameter(functional.normalize(torch.randn(2, size, width // 2), dim=-1))
        # The deviation that the product keys' authors start from.
        self.values = nn.Parameter(torch.randn(size * size, width) * width**-0.5)

    def find(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The best slots of each query: [..., D] -> indices and scores [..., R].

        A slot's score is the sum of its two halves', so the best R slots are among the R x R sums
        of the best R halves. The choice itself has no gradient. Two slots that tie within rounding
        at the cut may be chosen differently by another batch shape.
        """
        # Half precision would make many scores equal.
        with torch.autocast(queries.device.type, enabled=False):
            halves = self.norm(self.query(queries.to(self.keys.dtype))).unflatten(-1, (2, -1))
            half_scores = torch.einsum("...hd,hsd->...hs", halves, self.keys)
        best, rows_columns = half_scores.topk(self.num_retrieved)
        sums = best[..., 0, :, None] + best[..., 1, None, :]
        scores, pairs = sums.flatten(-2).topk(self.num_retrieved)
        rows = rows_columns[..., 0, :].gather(-1, pairs // self.num_retrieved)
        columns = rows_columns[..., 1, :].gather(-1, pairs % self.num_retrieved)
        return rows * self.size + columns, scores

    def read(self, queries: Tensor) -> Tensor:
        """The found slots' mean by the softmax of their scores: [..., D] -> [..., D]."""
        slots, scores = self.find(queries.flatten(0, -2))
        weights = scores.softmax(-1)
        # Fused, so that no [..., R, D] is written.
        return functional.embedding_bag(
            slots, self.values, per_sample_weights=weights, mode="sum"
        ).view_as(queries)

    def read_for_experts(self, queries: Tensor, experts: Tensor) -> Tensor:
        """What each expert takes from the found slots: [..., D], [K, D] -> [..., K, D].

        An expert weighs the slots by their scores and by their fit to itself (scaled dot product).
        The order of the slots does not matter: giving the first slot to the first expert and so on
        would make the experts jump whenever two scores change places.
        """
        slots, scores = self.find(queries)
        found = functional.embedding(slots, self.values)
        fit = found @ experts.T / math.sqrt(experts.shape[1])
        weights = (fit + scores[..., None]).softmax(-2)
        return weights.transpose(-1, -2) @ found
