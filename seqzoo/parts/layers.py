"""What backbones share: initial weights of linear layers, and a stack of layers.

Shapes in brackets: B histories in a batch, L positions, D hidden width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch, State

__all__ = [
    "INITIAL_STD",
    "LayerStack",
    "StackLayer",
    "init_linear",
]

INITIAL_STD = 0.02
"""Standard deviation of initial item tables and weight matrices.

It is that of RecBole's SASRec and of the published Mamba4Rec."""


def init_linear(module: nn.Module) -> None:
    """Initialise all linear layers of a module, or the layer given: normal weights, zero biases.

    Weights have the standard deviation ``INITIAL_STD`` and are drawn in the order of
    ``module.modules()``.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, INITIAL_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class StackLayer(nn.Module, ABC):
    """A layer of a ``LayerStack``: causal, with a state of its own for streaming."""

    @abstractmethod
    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""

    @abstractmethod
    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first event of ``batch_size`` users."""

    @abstractmethod
    def step(self, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] and state -> [B, D] and new state."""


class LayerStack(Backbone):
    """Causal layers one after another; ``last`` runs the top layer only for the newest event."""

    causal = True
    streaming = True

    def __init__(self, layers: Iterable[StackLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        *lower, top = self._stack()
        for layer in lower:
            hidden = layer(hidden)
        return top.last(hidden, batch)

    def initial_state(self, batch_size: int) -> State:
        """A list with the state of each layer."""
        return [layer.initial_state(batch_size) for layer in self._stack()]

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        states = []
        for layer, layer_state in zip(self._stack(), state, strict=True):
            hidden, layer_state = layer.step(hidden, layer_state)
            states.append(layer_state)
        return hidden, states

    def _stack(self) -> list[StackLayer]:
        return [layer for layer in self.layers if isinstance(layer, StackLayer)]
