"""The Mamba4Rec backbone (arXiv 2403.03900, section 3): Mamba blocks and feed-forward layers.

Shapes in brackets: B batch, L positions, D width, I inner width, N states per channel, K taps.
"""

from torch import Tensor, nn

from seqzoo.interfaces import SequenceBatch, State
from seqzoo.ops import CompiledStep, StepOperations
from seqzoo.ops.step_operations import Value
from seqzoo.parts.layers import FeedForward, LayerStack, StackLayer, init_linear
from seqzoo_mamba4rec.config import Mamba4RecConfig
from seqzoo_mamba4rec.mamba import MambaBlock

__all__ = ["Mamba4Rec", "MambaLayer"]


class MambaLayer(StackLayer):
    """Mamba block, dropout, residual if there are several layers, LayerNorm and feed-forward."""

    def __init__(self, config: Mamba4RecConfig) -> None:
        super().__init__()
        self.residual = config.num_layers > 1
        self.mamba = MambaBlock(
            config.hidden_size,
            config.state_size,
            config.conv_size,
            config.expand,
            config.backend,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        # After the published code: LN(Dropout(W2 Dropout(GELU(W1 x))) + x).
        self.ffn = FeedForward(
            config.hidden_size,
            4 * config.hidden_size,
            config.dropout,
            config.norm_eps,
            names=("w_1", "w_2"),
            inner_dropout=True,
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self._finish(self.mamba(hidden), hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        return self._finish(self.mamba.last(hidden, batch), batch.gather_last(hidden))

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Inputs of the convolution [B, K - 1, I] and states of the scan [B, N, I], all zero."""
        return self.mamba.initial_state(batch_size)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: tuple[Value, Value]
    ) -> tuple[Value, tuple[Value, Value]]:
        """One more event of each user: [B, D] -> [B, D]."""
        mixed, state = self.mamba.write_step(operations, hidden, state)
        mixed = operations.dropout(mixed, self.dropout)
        mixed = operations.norm(mixed + hidden if self.residual else mixed, self.norm)
        return self.ffn.write_step(operations, mixed), state

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        mixed = self.dropout(mixed)
        return self.ffn(self.norm(mixed + hidden if self.residual else mixed))  # type: ignore[no-any-return]


class Mamba4Rec(LayerStack):
    """A stack of Mamba layers; takes sequences of any length and streams with a constant state."""

    def __init__(self, config: Mamba4RecConfig) -> None:
        super().__init__(MambaLayer(config) for _ in range(config.num_layers))
        self._step = CompiledStep(config.backend)
        # The published code re-initialises every linear layer after Mamba has initialised itself,
        # which overwrites the projection that gives the step sizes; `mamba` restores that one.
        init_linear(self)
        if config.step_initialisation == "mamba":
            for module in self.modules():
                if isinstance(module, MambaBlock):
                    module.reset_step_size()

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        return self._step(self, hidden, state, None)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: State, elapsed: Value
    ) -> tuple[Value, State]:
        """``step``, with the operations given."""
        layers = [layer for layer in self.layers if isinstance(layer, MambaLayer)]
        states = []
        for layer, layer_state in zip(layers, state, strict=True):
            hidden, layer_state = layer.write_step(operations, hidden, layer_state)
            states.append(layer_state)
        return hidden, states
