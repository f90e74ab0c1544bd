"""The SASRec backbone: causal self-attention (arXiv 1808.09781), post-norm as in RecBole.

Histories are padded on the right, so the causal mask alone keeps real events from reading padding,
and PyTorch's fused attention can be used.

Shapes in brackets: B batch, L positions, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.parts.layers import LayerStack, StackLayer, init_linear
from seqzoo_sasrec.config import SASRecConfig


class SelfAttention(nn.Module):
    """Multi-head causal self-attention with output projection, residual and LayerNorm."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.attention_dropout = config.attention_dropout
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        mixed = functional.scaled_dot_product_attention(
            self._heads(self.query(hidden)),
            self._heads(self.key(hidden)),
            self._heads(self.value(hidden)),
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=True,
        )
        return self._finish(mixed, hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history, as query: [B, L, D] -> [B, D]."""
        newest = batch.gather_last(hidden)[:, None]
        mixed = functional.scaled_dot_product_attention(
            self._heads(self.query(newest)),
            self._heads(self.key(hidden)),
            self._heads(self.value(hidden)),
            attn_mask=batch.mask[:, None, None],
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        return self._finish(mixed, newest)[:, 0]

    def step(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more event of each user: [B, D] -> [B, D]; the state is all keys and values."""
        newest = hidden[:, None]
        keys = torch.cat([state[0], self._heads(self.key(newest))], dim=2)
        values = torch.cat([state[1], self._heads(self.value(newest))], dim=2)
        query = self._heads(self.query(newest))
        mixed = functional.scaled_dot_product_attention(query, keys, values)
        return self._finish(mixed, newest)[:, 0], (keys, values)

    def _heads(self, values: Tensor) -> Tensor:
        """[B, L, D] -> [B, heads, L, D / heads]."""
        return values.view(*values.shape[:2], self.num_heads, -1).transpose(1, 2)

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        mixed = self.dense(mixed.transpose(1, 2).flatten(2))
        return self.norm(self.dropout(mixed) + hidden)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Position-wise feed-forward layer with residual and LayerNorm: [..., D] -> [..., D]."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        self.dense_1 = nn.Linear(config.hidden_size, config.inner_size)
        self.dense_2 = nn.Linear(config.inner_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """``LN(Dropout(W2 GELU(W1 x)) + x)``."""
        inner = self.dense_2(functional.gelu(self.dense_1(hidden)))
        return self.norm(self.dropout(inner) + hidden)  # type: ignore[no-any-return]


class SASRecLayer(StackLayer):
    """Self-attention and feed-forward layer."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.feed_forward = FeedForward(config)

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
