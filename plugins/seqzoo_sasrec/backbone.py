"""The SASRec backbone: causal self-attention (arXiv 1808.09781), post-norm as in RecBole.

Histories are padded on the right, so the causal mask alone keeps real events from reading padding,
and PyTorch's fused attention can be used.

Shapes in brackets: B batch, L positions, D width.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.parts.layers import (
    FeedForward,
    LayerStack,
    SelfAttention,
    StackLayer,
    init_linear,
)
from seqzoo_sasrec.config import SASRecConfig

__all__ = ["CausalAttention", "SASRec", "SASRecLayer"]


class CausalAttention(SelfAttention):
    """Self-attention of an event to itself and the events before it."""

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self.attend(hidden, hidden, causal=True)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history, as query: [B, L, D] -> [B, D]."""
        newest = batch.gather_last(hidden)[:, None]
        return self.attend(newest, hidden, batch.mask[:, None, None])[:, 0]

    def step(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more event of each user: [B, D] -> [B, D]; the state is all keys and values."""
        newest = hidden[:, None]
        keys = torch.cat([state[0], self.split(self.key(newest))], dim=2)
        values = torch.cat([state[1], self.split(self.value(newest))], dim=2)
        query = self.split(self.query(newest))
        mixed = functional.scaled_dot_product_attention(query, keys, values)
        return self.finish(mixed, newest)[:, 0], (keys, values)


class SASRecLayer(StackLayer):
    """Self-attention and feed-forward layer."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        self.attention = CausalAttention(
            config.hidden_size,
            config.num_heads,
            config.dropout,
            config.attention_dropout,
            config.norm_eps,
        )
        self.feed_forward = FeedForward(
            config.hidden_size, config.inner_size, config.dropout, config.norm_eps
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self.feed_forward(self.attention(hidden))  # type: ignore[no-any-return]

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        return self.feed_forward(self.attention.last(hidden, batch))  # type: ignore[no-any-return]

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Empty keys and values [B, heads, 0, D / heads]."""
        weight, heads = self.attention.key.weight, self.attention.num_heads
        empty = weight.new_zeros(batch_size, heads, 0, len(weight) // heads)
        return empty, empty

    def step(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more event of each user: [B, D] -> [B, D]; the state grows by one key and value."""
        hidden, state = self.attention.step(hidden, state)
        return self.feed_forward(hidden), state


class SASRec(LayerStack):
    """A stack of self-attention layers over embedded items and positions.

    Streaming keeps all keys and values. The embedder's positions limit how many.
    """

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__(SASRecLayer(config) for _ in range(config.num_layers))
        init_linear(self)
