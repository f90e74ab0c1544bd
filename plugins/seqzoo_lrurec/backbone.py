"""The LRURec backbone (arXiv 2310.02367, section 3): recurrent units and feed-forward layers.

Shapes in brackets: L positions, B histories, D width of the model, H complex channels. Inside the
stack time comes first, see ``seqzoo_lrurec.recurrence``.
"""

from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo_lrurec.config import LruRecConfig
from seqzoo_lrurec.unit import LinearRecurrentUnit, init_truncated


class FeedForward(nn.Module):
    """Position-wise feed-forward layer with residual and LayerNorm: [..., D] -> [..., D]."""

    def __init__(self, config: LruRecConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.w_2 = nn.Linear(4 * config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        init_truncated(self.w_1)
        init_truncated(self.w_2)

    def forward(self, hidden: Tensor) -> Tensor:
        """``LN(Dropout(W2 Dropout(GELU(W1 y + b1)) + b2) + y)``."""
        inner = self.dropout(functional.gelu(self.w_1(hidden)))
        return self.norm(self.dropout(self.w_2(inner)) + hidden)  # type: ignore[no-any-return]


class LruBlock(nn.Module):
    """``y = LN(Dropout(LRU(x)) + x)``, then a feed-forward layer."""

    def __init__(self, config: LruRecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.lru = LinearRecurrentUnit(
            width, config.expand * width, config.min_radius, config.max_radius
        )
        self.dropout = nn.Dropout(config.recurrent_dropout)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [L, B, D] -> [L, B, D]."""
        return self._finish(self.lru(hidden), hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [L, B, D] -> [B, D]."""
        newest = batch.gather_last(hidden.transpose(0, 1))
        return self._finish(self.lru.last(hidden, batch.lengths), newest)

    def step(self, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One more event of each user: [B, D], [B, H, 2] -> [B, D], [B, H, 2]."""
        mixed, state = self.lru.step(hidden, state)
        return self._finish(mixed, hidden), state

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        return self.ffn(self.norm(self.dropout(mixed) + hidden))  # type: ignore[no-any-return]


class LruRec(Backbone):
    """A stack of blocks; takes sequences of any length and streams with a constant state."""

    causal = True
    streaming = True

    def __init__(self, config: LruRecConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LruBlock(config) for _ in range(config.num_layers))

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]; padding on the right needs no mask."""
        hidden = hidden.transpose(0, 1).contiguous()
        for block in self.layers:
            hidden = block(hidden)
        return hidden.transpose(0, 1)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history, also in the top block: [B, L, D] -> [B, D]."""
        *lower, top = self._blocks()
        hidden = hidden.transpose(0, 1).contiguous()
        for block in lower:
            hidden = block(hidden)
        return top.last(hidden, batch)

    def initial_state(self, batch_size: int) -> State:
        """A list with the state [B, H, 2] of each block."""
        return [block.lru.initial_state(batch_size) for block in self._blocks()]

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        states = []
        for block, block_state in zip(self._blocks(), state, strict=True):
            hidden, block_state = block.step(hidden, block_state)
            states.append(block_state)
        return hidden, states

    def _blocks(self) -> list[LruBlock]:
        return [block for block in self.layers if isinstance(block, LruBlock)]
