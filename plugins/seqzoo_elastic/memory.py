"""The interest memory: many learned vectors; a query reads a few, found by product keys.

From the paper's abstract (arXiv 2408.09380): the memory is large and read sparsely. Our choice are
product keys (arXiv 1907.05242), which find the best of m * m slots with 2 m comparisons. Their
authors normalise queries by BatchNorm; here it is LayerNorm, so that a history gets the same vector
in any batch. All keys have the same initial length, so that no slot is preferred for its size.
Nothing balances the use of slots later (there is no auxiliary loss), and a trained memory may use
only few.

Shapes in brackets: D width, R slots that a query reads, m keys of a half, K experts.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.ops.exporting import exporting
from seqzoo_elastic.config import ElasticConfig

__all__ = ["InterestMemory"]


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
        # The initial standard deviation of the authors of product keys.
        self.values = nn.Parameter(torch.randn(size * size, width) * width**-0.5)

    def find(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The best slots of each query: [..., D] -> indices and scores [..., R].

        The score of a slot is the sum of the scores of its two half-keys, so the best R slots are
        among the R x R sums of the best R half-keys. The selection itself has no gradient. If two
        slots tie up to rounding, another batch shape may select the other one.
        """
        # In half precision many scores would be equal.
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
        """Mean of the found slots, weighted by the softmax of scores: [..., D] -> [..., D]."""
        slots, scores = self.find(queries.flatten(0, -2))
        weights = scores.softmax(-1)
        if exporting():  # the fused form has no exportable one
            found = functional.embedding(slots, self.values)
            return (weights[..., None] * found).sum(-2).view_as(queries)
        # Fused, so that no tensor [..., R, D] is needed.
        return functional.embedding_bag(
            slots, self.values, per_sample_weights=weights, mode="sum"
        ).view_as(queries)

    def read_for_experts(self, queries: Tensor, experts: Tensor) -> Tensor:
        """What each expert reads from the found slots: [..., D], [K, D] -> [..., K, D].

        An expert weights the slots by their scores plus their scaled dot product with the expert.
        The order of the slots has no effect. To give the first slot to the first expert and so on
        would make experts jump whenever two slots change their order.
        """
        slots, scores = self.find(queries)
        found = functional.embedding(slots, self.values)
        fit = functional.linear(found, experts) / math.sqrt(experts.shape[1])
        weights = (fit + scores[..., None]).softmax(-2)
        return weights.transpose(-1, -2) @ found
