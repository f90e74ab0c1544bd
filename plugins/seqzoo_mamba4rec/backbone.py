"""The Mamba4Rec backbone (arXiv 2403.03900, section 3): Mamba blocks and feed-forward layers."""

from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo_mamba4rec.config import Mamba4RecConfig
from seqzoo_mamba4rec.mamba import MambaBlock

_INITIAL_STD = 0.02


class FeedForward(nn.Module):
    """Position-wise feed-forward layer with residual and LayerNorm: [..., D] -> [..., D]."""

    def __init__(self, config: Mamba4RecConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.w_2 = nn.Linear(4 * config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """``LN(Dropout(W2 Dropout(GELU(W1 x))) + x)``."""
        inner = self.dropout(functional.gelu(self.w_1(hidden)))
        return self.norm(self.dropout(self.w_2(inner)) + hidden)  # type: ignore[no-any-return]


class MambaLayer(nn.Module):
    """A Mamba block, dropout, residual where there are several layers, LayerNorm, feed-forward."""

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
        self.ffn = FeedForward(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Every position: [B, L, D] -> [B, L, D]."""
        return self._finish(self.mamba(hidden), hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event: [B, L, D] -> [B, D]."""
        return self._finish(self.mamba.last(hidden, batch), batch.gather_last(hidden))

    def step(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more event of each user: [B, D] -> [B, D]."""
        mixed, state = self.mamba.step(hidden, state)
        return self._finish(mixed, hidden), state

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        mixed = self.dropout(mixed)
        return self.ffn(self.norm(mixed + hidden if self.residual else mixed))  # type: ignore[no-any-return]


class Mamba4Rec(Backbone):
    """Stack of Mamba layers; every position is causal and the history may have any length."""

    causal = True
    streaming = True

    def __init__(self, config: Mamba4RecConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MambaLayer(config) for _ in range(config.num_layers))
        # The published code re-initialises every linear layer after Mamba has set itself up, the
        # step size's included; `mamba` restores that part alone.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, _INITIAL_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if config.step_initialisation == "mamba":
            for module in self.modules():
                if isinstance(module, MambaBlock):
                    module.reset_step_size()

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Every position: [B, L, D] -> [B, L, D]."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event: [B, L, D] -> [B, D]; the last layer works for it alone."""
        *lower, top = self._mamba_layers()
        for layer in lower:
            hidden = layer(hidden)
        return top.last(hidden, batch)

    def initial_state(self, batch_size: int) -> State:
        """One state for each layer: inputs of the convolution and states of the scan."""
        return [layer.mamba.initial_state(batch_size) for layer in self._mamba_layers()]

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; takes no notice of ``elapsed``."""
        states = []
        for layer, layer_state in zip(self._mamba_layers(), state, strict=True):
            hidden, layer_state = layer.step(hidden, layer_state)
            states.append(layer_state)
        return hidden, states

    def _mamba_layers(self) -> list[MambaLayer]:
        return [layer for layer in self.layers if isinstance(layer, MambaLayer)]
