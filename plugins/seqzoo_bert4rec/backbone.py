"""The BERT4Rec backbone: bidirectional post-norm self-attention, and the transform of BERT's head.

Section 3 of arXiv 1904.06690. Shapes in brackets: B histories in a batch, L positions, D width.
"""

from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo.parts.layers import init_linear, join_heads, split_heads
from seqzoo_bert4rec.config import Bert4RecConfig

__all__ = ["Bert4Rec", "Layer"]


class Layer(nn.Module):
    """Bidirectional self-attention and a feed-forward layer, each with residual and norm."""

    def __init__(self, config: Bert4RecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.attention_dropout = config.attention_dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.inner = nn.Linear(width, config.inner_size)
        self.outer = nn.Linear(config.inner_size, width)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, queries: Tensor, hidden: Tensor, mask: Tensor) -> Tensor:
        """Vectors of the query positions: [B, Q, D], [B, L, D], [B, L] -> [B, Q, D]."""
        mixed = functional.scaled_dot_product_attention(
            split_heads(self.query(queries), self.num_heads),
            split_heads(self.key(hidden), self.num_heads),
            split_heads(self.value(hidden), self.num_heads),
            # Padding has no causal mask to keep it away.
            attn_mask=mask[:, None, None],
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        mixed = self.dense(join_heads(mixed))
        hidden = self.attention_norm(self.dropout(mixed) + queries)
        inner = self.outer(functional.gelu(self.inner(hidden)))
        return self.norm(self.dropout(inner) + hidden)  # type: ignore[no-any-return]


class Bert4Rec(Backbone):
    """Every position reads the whole history, so a target must be hidden in its own input."""

    causal = False
    streaming = False

    def __init__(self, config: Bert4RecConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        init_linear(self)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        for layer in self.layers:
            hidden = layer(hidden, hidden, batch.mask)
        return self._finish(hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history, in the top layer: [B, L, D] -> [B, D]."""
        for layer in self.layers[:-1]:
            hidden = layer(hidden, hidden, batch.mask)
        newest = batch.gather_last(hidden)[:, None]
        return self._finish(self.layers[-1](newest, hidden, batch.mask)[:, 0])

    def _finish(self, hidden: Tensor) -> Tensor:
        return self.norm(functional.gelu(self.transform(hidden)))  # type: ignore[no-any-return]
