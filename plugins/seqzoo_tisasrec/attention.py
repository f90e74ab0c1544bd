"""Self-attention whose keys and values depend on positions and on the time between events.

Event i reads event j with the interval r[i, j], a whole number from 0 to K. For one head::

    score[i, j] = q[i] . (k[j] + PK[j] + RK[r[i, j]]) / sqrt(D)
    y[i] = sum_j softmax(score)[i, j] (v[j] + PV[j] + RV[r[i, j]])

Looking up RK and RV for each pair would take two tensors [B, L, L, D]: 2 GB for 128 histories of
200 events with D = 50. Here the K + 1 products of q[i] with RK are computed once and looked up,
and the weights of each interval are summed before they multiply RV. The result is the same.

Shapes in brackets: B histories, Q query positions, L positions that are read, H heads, D width,
K largest interval.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqzoo.parts.layers import join_heads, split_heads
from seqzoo_tisasrec.config import TiSASRecConfig

__all__ = ["IntervalAttention", "Relations"]


@dataclass(frozen=True)
class Relations:
    """Facts about pairs of positions that all layers use.

    Attributes:
        intervals: r, int64 [B, Q, L].
        allowed: where a position may be read; broadcasts to [B, Q, L].
        keys: RK, the same for all histories [K + 1, D] or one for each [B, K + 1, D].
        values: RV, in the same form.
    """

    intervals: Tensor
    allowed: Tensor
    keys: Tensor
    values: Tensor


class IntervalAttention(nn.Module):
    """Multi-head attention over keys and values with positions, without output projection."""

    def __init__(self, config: TiSASRecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.scale = 1.0 / math.sqrt(width // config.num_heads)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.attention_dropout)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, relations: Relations
    ) -> Tensor:
        """Read all allowed positions.

        Args:
            queries: vectors that the queries are computed from [B, Q, D].
            keys: keys with positions added [B, L, D].
            values: values with positions added [B, L, D].
            relations: the relations of the pairs.

        Returns:
            [B, Q, D].
        """
        heads = self.num_heads
        query = split_heads(self.query(queries), heads) * self.scale
        index = relations.intervals[:, None].expand(-1, heads, -1, -1)
        by_interval = _queries_times_rows(query, split_heads(relations.keys, heads))
        scores = query @ split_heads(keys, heads).transpose(-1, -2)
        scores = scores + by_interval.gather(-1, index)
        scores = scores.masked_fill(~relations.allowed[:, None], -torch.inf)
        weights = self.dropout(scores.softmax(dim=-1))
        by_interval = torch.zeros_like(by_interval, dtype=weights.dtype)
        by_interval = by_interval.scatter_add(-1, index, weights)
        mixed = weights @ split_heads(values, heads)
        mixed = mixed + _weights_times_rows(by_interval, split_heads(relations.values, heads))
        return join_heads(mixed)


def _queries_times_rows(query: Tensor, rows: Tensor) -> Tensor:
    """[B, H, Q, d] and [H, R, d] or [B, H, R, d] -> [B, H, Q, R]."""
    return torch.einsum("bhqd,hrd->bhqr" if rows.dim() == 3 else "bhqd,bhrd->bhqr", query, rows)


def _weights_times_rows(weights: Tensor, rows: Tensor) -> Tensor:
    """[B, H, Q, R] and [H, R, d] or [B, H, R, d] -> [B, H, Q, d]."""
    return torch.einsum("bhqr,hrd->bhqd" if rows.dim() == 3 else "bhqr,bhrd->bhqd", weights, rows)
