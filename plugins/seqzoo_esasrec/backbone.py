"""The eSASRec backbone: causal LiGR layers (arXiv 2502.03417), as RecTools has them.

Each layer normalises the inputs of its two branches and gates their outputs by the stream itself;
no LayerNorm follows the last layer.

Shapes in brackets: B batch, L positions, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.parts.layers import LayerStack, StackLayer, join_heads, split_heads
from seqzoo_esasrec.config import ESASRecConfig

__all__ = ["Cache", "ESASRec", "LigrLayer", "SelfAttention", "SwiGLU"]

Cache = tuple[Tensor, Tensor]
"""Keys and values of the events so far, both [B, heads, events, D / heads]."""


class SelfAttention(nn.Module):
    """Multi-head causal self-attention with one projection of queries, keys and values."""

    def __init__(self, config: ESASRecConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.project = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        query, key, value = self._parts(self.project(hidden), 3)
        return self._mix(query, key, value, causal=True)

    def last(self, newest: Tensor, hidden: Tensor, mask: Tensor) -> Tensor:
        """The newest event of each history: [B, 1, D], [B, L, D] and mask [B, L] -> [B, 1, D]."""
        width = hidden.shape[-1]
        weight, bias = self.project.weight, self.project.bias
        (query,) = self._parts(functional.linear(newest, weight[:width], bias[:width]), 1)
        key, value = self._parts(functional.linear(hidden, weight[width:], bias[width:]), 2)
        return self._mix(query, key, value, mask=mask[:, None, None])

    def step(self, newest: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One more event of each user: [B, 1, D] -> [B, 1, D], and the cache with it."""
        query, key, value = self._parts(self.project(newest), 3)
        keys, values = torch.cat([cache[0], key], 2), torch.cat([cache[1], value], 2)
        return self._mix(query, keys, values), (keys, values)

    def _parts(self, projected: Tensor, count: int) -> list[Tensor]:
        """Queries, keys or values of each head: [B, L, count * D] -> [B, heads, L, D / heads]."""
        return [split_heads(part, self.num_heads) for part in projected.chunk(count, -1)]

    def _mix(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        causal: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.output(join_heads(mixed))  # type: ignore[no-any-return]


class SwiGLU(nn.Module):
    """``W2 Dropout(SiLU(W1 x) * W3 x)`` without biases (arXiv 2002.05202): [..., D] -> [..., D]."""

    def __init__(self, config: ESASRecConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.inner_factor * config.hidden_size
        self.linear_1 = nn.Linear(width, inner, bias=False)
        self.linear_2 = nn.Linear(inner, width, bias=False)
        self.linear_3 = nn.Linear(width, inner, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Each position independently."""
        gated = functional.silu(self.linear_1(hidden)) * self.linear_3(hidden)
        return self.linear_2(self.dropout(gated))  # type: ignore[no-any-return]


class LigrLayer(StackLayer):
    """``x + sigmoid(G x) * branch(LN(x))``, for attention and then for the feed-forward layer."""

    def __init__(self, config: ESASRecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm_1 = nn.LayerNorm(width, eps=config.norm_eps)
        self.attention = SelfAttention(config)
        self.gate_1 = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, eps=config.norm_eps)
        self.feed_forward = SwiGLU(config)
        self.gate_2 = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self._finish(self.attention(self.norm_1(hidden)), hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        normed = self.norm_1(hidden)
        newest = batch.gather_last(hidden)[:, None]
        mixed = self.attention.last(batch.gather_last(normed)[:, None], normed, batch.mask)
        return self._finish(mixed, newest)[:, 0]

    def initial_state(self, batch_size: int) -> Cache:
        """No keys and values."""
        weight, heads = self.gate_1.weight, self.attention.num_heads
        empty = weight.new_zeros(batch_size, heads, 0, len(weight) // heads)
        return empty, empty

    def step(self, hidden: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """One more event of each user: [B, D] -> [B, D]; the state grows by one key and value."""
        newest = hidden[:, None]
        mixed, state = self.attention.step(self.norm_1(newest), state)
        return self._finish(mixed, newest)[:, 0], state

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        hidden = hidden + torch.sigmoid(self.gate_1(hidden)) * self.dropout(mixed)
        inner = self.dropout(self.feed_forward(self.norm_2(hidden)))
        return hidden + torch.sigmoid(self.gate_2(hidden)) * inner  # type: ignore[no-any-return]


class ESASRec(LayerStack):
    """A stack of LiGR layers over embedded items and positions.

    Streaming keeps all keys and values. The embedder's positions limit how many.
    """

    def __init__(self, config: ESASRecConfig) -> None:
        super().__init__(LigrLayer(config) for _ in range(config.num_layers))
        for layer in self._stack():
            for parameter in layer.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_normal_(parameter)
            # As in torch's MultiheadAttention; the biases of the gates are PyTorch's.
            for name in ("project", "output"):
                nn.init.zeros_(layer.get_parameter(f"attention.{name}.bias"))
