"""The LRURec backbone (arXiv 2310.02367, section 3): recurrent units and feed-forward layers.

Shapes in brackets: L positions, B histories, D width of the model, H complex channels. Inside the
stack time comes first, see ``seqzoo_lrurec.recurrence``.
"""

from torch import Tensor, nn

from seqzoo.interfaces import SequenceBatch, State
from seqzoo.ops import CompiledStep, StepOperations
from seqzoo.ops.step_operations import Value
from seqzoo.parts.layers import FeedForward, LayerStack, StackLayer
from seqzoo_lrurec.config import LruRecConfig
from seqzoo_lrurec.unit import LinearRecurrentUnit, init_truncated

__all__ = ["LruBlock", "LruRec"]


class LruBlock(StackLayer):
    """``y = LN(Dropout(LRU(x)) + x)``, then a feed-forward layer."""

    def __init__(self, config: LruRecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.lru = LinearRecurrentUnit(
            width, config.expand * width, config.min_radius, config.max_radius
        )
        self.dropout = nn.Dropout(config.recurrent_dropout)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        # LN(Dropout(W2 Dropout(GELU(W1 y + b1)) + b2) + y)
        self.ffn = FeedForward(
            width,
            4 * width,
            config.dropout,
            config.norm_eps,
            names=("w_1", "w_2"),
            inner_dropout=True,
        )
        for linear in self.ffn.children():
            if isinstance(linear, nn.Linear):
                init_truncated(linear)

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [L, B, D] -> [L, B, D]."""
        return self._finish(self.lru(hidden), hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [L, B, D] -> [B, D]."""
        newest = batch.gather_last(hidden.transpose(0, 1))
        return self._finish(self.lru.last(hidden, batch.lengths), newest)

    def initial_state(self, batch_size: int) -> Tensor:
        """Zero states as pairs of real numbers [B, H, 2]."""
        return self.lru.initial_state(batch_size)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: Value
    ) -> tuple[Value, Value]:
        """One more event of each user: [B, D], [B, H, 2] -> [B, D], [B, H, 2]."""
        mixed, state = self.lru.write_step(operations, hidden, state)
        mixed = operations.norm(operations.dropout(mixed, self.dropout) + hidden, self.norm)
        return self.ffn.write_step(operations, mixed), state

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        return self.ffn(self.norm(self.dropout(mixed) + hidden))  # type: ignore[no-any-return]


class LruRec(LayerStack):
    """A stack of blocks; takes sequences of any length and streams with a constant state."""

    def __init__(self, config: LruRecConfig) -> None:
        super().__init__(LruBlock(config) for _ in range(config.num_layers))
        self._step = CompiledStep()

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]; padding on the right needs no mask."""
        return super().forward(hidden.transpose(0, 1).contiguous(), batch).transpose(0, 1)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history, also in the top block: [B, L, D] -> [B, D]."""
        return super().last(hidden.transpose(0, 1).contiguous(), batch)

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        return self._step(self, hidden, state, None)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: State, elapsed: Value
    ) -> tuple[Value, State]:
        """``step``, with the operations given."""
        blocks = [block for block in self.layers if isinstance(block, LruBlock)]
        states = []
        for block, own in zip(blocks, state, strict=True):
            hidden, own = block.write_step(operations, hidden, own)
            states.append(own)
        return hidden, states
