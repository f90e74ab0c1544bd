"""The GRU4Rec backbone: a recurrent network and a linear layer, as in RecBole.

The network reads whole histories (arXiv 1606.08117), not the parallel sessions of arXiv 1511.06939.

Shapes in brackets: B batch, L positions, D width of the model, G width of the recurrent state.
"""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.ops import CompiledStep, StepOperations, gru, gru_last
from seqzoo.ops.exporting import exporting, scan
from seqzoo.ops.step_operations import Value
from seqzoo_rnn.config import Gru4RecConfig

__all__ = ["Gru4Rec", "empty_state", "recurrent", "run", "run_last", "weights"]


def recurrent(config: Gru4RecConfig) -> nn.GRU:
    """The recurrent layers, without biases: [B, L, D] -> [B, L, G]."""
    return nn.GRU(
        config.hidden_size, config.gru_size, config.num_layers, bias=False, batch_first=True
    )


def empty_state(gru: nn.GRU, batch_size: int) -> Tensor:
    """Zero states of all layers, batch first: [B, layers, G]."""
    weight = gru.get_parameter("weight_hh_l0")
    return weight.new_zeros(batch_size, gru.num_layers, gru.hidden_size)


def weights(gru: nn.GRU, layer: int) -> tuple[Tensor, Tensor]:
    """The matrices of a layer for its input [3G, D] and for its state [3G, G]."""
    outer, inner = (gru.get_parameter(f"weight_{kind}_l{layer}") for kind in ("ih", "hh"))
    return outer, inner


def run(layers: nn.GRU, hidden: Tensor) -> Tensor:
    """The newest layer's states of whole histories: [B, L, D] -> [B, L, G]."""
    for layer in range(layers.num_layers):
        hidden = (_exportable if exporting() else gru)(hidden, *weights(layers, layer))
    return hidden


def run_last(layers: nn.GRU, hidden: Tensor, batch: SequenceBatch) -> Tensor:
    """Those after the newest event of each history: [B, L, D] -> [B, G]."""
    if exporting():
        return batch.gather_last(run(layers, hidden))
    for layer in range(layers.num_layers - 1):
        hidden = gru(hidden, *weights(layers, layer))
    return gru_last(hidden, *weights(layers, layers.num_layers - 1), batch.lengths)


def _exportable(hidden: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """``gru`` in a form that can be exported for any length."""

    def advance(state: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
        reset, update, new = (state @ inner.T).chunk(3, -1)
        own_reset, own_update, own_new = gates.chunk(3, -1)
        kept = torch.sigmoid(own_update + update)
        new = torch.tanh(own_new + torch.sigmoid(own_reset + reset) * new)
        state = new + kept * (state - new)
        return state, state

    start = hidden.new_zeros(hidden.shape[0], inner.shape[1])
    _, states = scan(advance, start, (hidden @ outer.T).transpose(0, 1))
    return states.transpose(0, 1)  # type: ignore[no-any-return]


class Gru4Rec(Backbone):
    """Recurrent layers and a linear layer back to the width of the items."""

    causal = True
    streaming = True

    def __init__(self, config: Gru4RecConfig) -> None:
        super().__init__()
        self.gru_layers = recurrent(config)
        self.dense = nn.Linear(config.gru_size, config.hidden_size)
        self._step = CompiledStep()
        # RecBole initialises only the first layer, and each matrix with its three gates as one.
        for name in ("weight_ih_l0", "weight_hh_l0"):
            nn.init.xavier_uniform_(self.gru_layers.get_parameter(name))

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self.dense(run(self.gru_layers, hidden))  # type: ignore[no-any-return]

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        return self.dense(run_last(self.gru_layers, hidden, batch))  # type: ignore[no-any-return]

    def initial_state(self, batch_size: int) -> State:
        """Zero states of all layers [B, layers, G]."""
        return empty_state(self.gru_layers, batch_size)

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        return self._step(self, hidden, state, None)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: State, elapsed: Value
    ) -> tuple[Value, State]:
        """``step``, with the operations given."""
        output, state = operations.gru(hidden, state, self.gru_layers)
        return operations.linear(output, self.dense), state
