"""One layer of HSTU: pointwise attention without softmax, gated, with relative biases.

Shapes in brackets: B batch, L positions, D width, H heads; n positions that read, m that are read.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.parts.layers import INITIAL_STD, join_heads, split_heads
from seqzoo_hstu.config import HstuConfig
from seqzoo_hstu.relations import BUCKETS, Relations

__all__ = ["Cache", "HstuLayer", "RelativeBias"]

Cache = tuple[Tensor, Tensor]
"""Keys [B, H, m, query_size / H] and values [B, H, m, value_size / H] of the events so far."""


class RelativeBias(nn.Module):
    """A learned bias for each distance in events, plus one for each bucket of a time difference."""

    def __init__(self, config: HstuConfig) -> None:
        super().__init__()
        self.position_weight = nn.Parameter(torch.empty(config.max_length))
        nn.init.normal_(self.position_weight, 0.0, INITIAL_STD)
        self.timed = config.time_mode != "none"
        if self.timed:
            self.time_weight = nn.Parameter(torch.empty(BUCKETS))
            nn.init.normal_(self.time_weight, 0.0, INITIAL_STD)

    def forward(self, relations: Relations) -> Tensor:
        """The bias of the attention scores [n, m] or [B, n, m]; hugely negative where unseen."""
        bias = self.position_weight[relations.distance]
        # SiLU of it is zero. Minus infinity would make it NaN.
        bias = bias.masked_fill(~relations.visible, torch.finfo(bias.dtype).min / 2)
        if not self.timed:
            return bias
        if relations.bucket is None:
            return bias + self.time_weight[0]
        return bias + self.time_weight[relations.bucket]


class HstuLayer(nn.Module):
    """``x + W_o Dropout(u * LN(attention)) + b_o``, as in the code of arXiv 2402.17152."""

    def __init__(self, config: HstuConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.divisor = float(config.divisor or config.max_length)
        values, keys = config.value_size, config.query_size
        self.sizes = [values, values, keys, keys]
        self.norm = nn.LayerNorm(
            config.hidden_size, eps=config.norm_eps, elementwise_affine=config.affine_norm
        )
        # Gate, values, queries and keys, in the order of the published code.
        self.uvqk = nn.Parameter(torch.empty(config.hidden_size, sum(self.sizes)))
        nn.init.normal_(self.uvqk, 0.0, INITIAL_STD)
        self.bias = RelativeBias(config)
        self.mixed_norm = nn.LayerNorm(
            values, eps=config.norm_eps, elementwise_affine=config.affine_norm
        )
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(values, config.hidden_size)
        nn.init.xavier_uniform_(self.output.weight)

    def forward(self, hidden: Tensor, blocks: Sequence[Relations]) -> Tensor:
        """All positions, block by block: [B, L, D] -> [B, L, D]."""
        gate, value, query, key = self._projected(self.norm(hidden))
        query, key, value = (split_heads(each, self.num_heads) for each in (query, key, value))
        mixed = []
        for block in blocks:
            count = block.distance.shape[-1]
            attended = self._attend(
                query[:, :, block.rows], key[:, :, :count], value[:, :, :count], block
            )
            mixed.append(attended)
        return self._finish(gate, torch.cat(mixed, 1), hidden)

    def last(self, hidden: Tensor, newest: Tensor, relations: Relations) -> Tensor:
        """Only the newest event of each history, ``newest`` [B, 1, D]: -> [B, 1, D]."""
        values, _, queries, _ = self.sizes
        normed = self.norm(hidden)
        value = functional.silu(normed @ self.uvqk[:, values : 2 * values])
        key = functional.silu(normed @ self.uvqk[:, 2 * values + queries :])
        gate, _, query, _ = self._projected(self.norm(newest))
        query, key, value = (split_heads(each, self.num_heads) for each in (query, key, value))
        return self._finish(gate, self._attend(query, key, value, relations), newest)

    def step(
        self, hidden: Tensor, cache: Cache, finished: int, relations: Relations
    ) -> tuple[Tensor, Cache]:
        """The newest events of each user; the first ``finished`` of them enter the cache.

        Args:
            hidden: their inputs [B, n, D].
            cache: the cache of the events before them; it is not modified.
            finished: number of events whose keys and values stay as they are.
            relations: the relations of these events to all.

        Returns:
            Outputs [B, n, D], and the new cache.
        """
        gate, value, query, key = self._projected(self.norm(hidden))
        query, keys, values = (split_heads(each, self.num_heads) for each in (query, key, value))
        mixed = self._attend(
            query,
            torch.cat([cache[0], keys], 2),
            torch.cat([cache[1], values], 2),
            relations,
        )
        if finished:
            cache = (
                torch.cat([cache[0], keys[:, :, :finished]], 2),
                torch.cat([cache[1], values[:, :, :finished]], 2),
            )
        return self._finish(gate, mixed, hidden), cache

    def _projected(self, normed: Tensor) -> tuple[Tensor, ...]:
        """Gate and values [B, n, value_size], queries and keys [B, n, query_size]."""
        return torch.split(functional.silu(normed @ self.uvqk), self.sizes, -1)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, relations: Relations) -> Tensor:
        """Attention of n positions to m: [B, n, value_size]."""
        bias = self.bias(relations)
        if bias.dim() == 3:
            bias = bias[:, None]
        weights = functional.silu(query @ key.transpose(2, 3) + bias)
        return join_heads(weights @ value / self.divisor)

    def _finish(self, gate: Tensor, mixed: Tensor, hidden: Tensor) -> Tensor:
        gated = gate * self.mixed_norm(mixed)
        return hidden + self.output(self.dropout(gated))  # type: ignore[no-any-return]
