"""Stacks of SSD layers: ``Ssd4Rec`` without timestamps, ``TiM4Rec`` with them.

Shapes in brackets: B batch, L positions, D width, H heads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.ops import CompiledStep, StepOperations, feed_forward
from seqzoo.ops.step_operations import Value
from seqzoo.parts.layers import check_length, init_linear
from seqzoo_tim4rec.config import Ssd4RecConfig, TiM4RecConfig
from seqzoo_tim4rec.ssd import SsdBlock
from seqzoo_tim4rec.time_ssd import CausalTimeSsdBlock, ReferenceTimeSsdBlock
from seqzoo_tim4rec.times import gaps, padded_gaps, standardised

__all__ = ["FeedForward", "Ssd4Rec", "SsdLayer", "TiM4Rec"]

_FEED_FORWARD_EPS = 1e-12
"""The released code does not pass ``norm_eps`` to the feed-forward layer."""


_CACHED_POSITIONS = 3200
"""Positions of the histories that ``last`` computes together: 16 histories of 200 events."""


class FeedForward(nn.Module):
    """Position-wise feed-forward layer with residual and LayerNorm: [..., D] -> [..., D]."""

    def __init__(self, config: Ssd4RecConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, 4 * config.hidden_size)
        self.fc2 = nn.Linear(4 * config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=_FEED_FORWARD_EPS)

    def forward(self, hidden: Tensor) -> Tensor:
        """``LN(Dropout(W2 Dropout(Hardswish(W1 x))) + x)``."""
        if not self.dropout.training:
            return feed_forward(hidden, self.fc1, self.fc2, self.layer_norm, "hardswish")
        inner = self.dropout(functional.hardswish(self.fc1(hidden)))
        return self.layer_norm(self.dropout(self.fc2(inner)) + hidden)  # type: ignore[no-any-return]

    def write_step(self, operations: StepOperations, hidden: Value) -> Value:
        """The same for one more event of each user: [B, D] -> [B, D]."""
        inner = operations.activation(operations.linear(hidden, self.fc1), "hardswish")
        inner = operations.linear(operations.dropout(inner, self.dropout), self.fc2)
        return operations.norm(operations.dropout(inner, self.dropout) + hidden, self.layer_norm)


class SsdLayer(nn.Module):
    """SSD block, dropout, residual if there are several layers, LayerNorm and feed-forward."""

    def __init__(self, config: Ssd4RecConfig, block: SsdBlock) -> None:
        super().__init__()
        self.residual = config.num_layers > 1
        self.ssd = block
        self.dropout = nn.Dropout(config.dropout)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, hidden: Tensor, modulation: Tensor | None) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self._finish(self.ssd(hidden, modulation), hidden)

    def last(self, hidden: Tensor, batch: SequenceBatch, modulation: Tensor | None) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        mixed = self.ssd.last(hidden, batch, modulation)
        return self._finish(mixed, batch.gather_last(hidden))

    def write_step(
        self,
        operations: StepOperations,
        hidden: Value,
        state: tuple[Value, Value],
        modulation: Value | None,
    ) -> tuple[Value, tuple[Value, Value]]:
        """One more event of each user: [B, D] -> [B, D]."""
        mixed, state = self.ssd.write_step(operations, hidden, state, modulation)
        mixed = operations.dropout(mixed, self.dropout)
        mixed = operations.norm(mixed + hidden if self.residual else mixed, self.layer_norm)
        return self.ffn.write_step(operations, mixed), state

    def _finish(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        mixed = self.dropout(mixed)
        return self.ffn(self.layer_norm(mixed + hidden if self.residual else mixed))  # type: ignore[no-any-return]


class Ssd4Rec(Backbone):
    """A stack of SSD layers without timestamps; causal, for sequences of any length.

    Args:
        config: settings.
        blocks: the SSD block of each layer; None makes blocks without timestamps.
    """

    causal = True
    streaming = True

    def __init__(self, config: Ssd4RecConfig, blocks: Sequence[SsdBlock] | None = None) -> None:
        super().__init__()
        if blocks is None:
            blocks = [SsdBlock(config) for _ in range(config.num_layers)]
        self._step = CompiledStep(config.backend)
        self.ssd_layers = nn.ModuleList(SsdLayer(config, block) for block in blocks)
        # As in the released code all linear layers are initialised alike, those of the time branch
        # included. The initial step sizes are kept: they are in `dt_bias`.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)
            elif isinstance(module, nn.Conv1d) and config.conv_initialisation == "kaiming":
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.get_parameter("bias"))

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        for layer, modulation in zip(self._layers(), self._modulations(batch), strict=True):
            hidden = layer(hidden, modulation)
        return hidden

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        The top layer runs only for that event. Without gradients, a CPU computes a few histories
        at a time, whose values at all positions fit its cache.
        """
        rows = max(1, _CACHED_POSITIONS // hidden.shape[1])
        tracing = torch.compiler.is_compiling()
        if torch.is_grad_enabled() or tracing or not hidden.is_cpu or rows >= len(hidden):
            return self._last(hidden, batch)
        parts = [slice(start, start + rows) for start in range(0, len(hidden), rows)]
        return torch.cat([self._last(hidden[part], batch.take(part)) for part in parts])

    def _last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        *lower, top = self._layers()
        *modulations, newest = self._modulations(batch)
        for layer, modulation in zip(lower, modulations, strict=True):
            hidden = layer(hidden, modulation)
        return top.last(hidden, batch, newest)

    def initial_state(self, batch_size: int) -> State:
        """The state of each layer's block; ``times`` is that of a time branch."""
        layers = [layer.ssd.initial_state(batch_size) for layer in self._layers()]
        return {"layers": layers, "times": None}

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]."""
        return self._step(self, hidden, state, elapsed)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: State, elapsed: Value
    ) -> tuple[Value, State]:
        """``step``, with the operations given."""
        modulations, times = self._write_modulations(operations, hidden, elapsed, state["times"])
        layers = []
        for layer, layer_state, modulation in zip(
            self._layers(), state["layers"], modulations, strict=True
        ):
            hidden, layer_state = layer.write_step(operations, hidden, layer_state, modulation)
            layers.append(layer_state)
        return hidden, {"layers": layers, "times": times}

    def _modulations(self, batch: SequenceBatch) -> Sequence[Tensor | None]:
        """The factors of each layer's step sizes: [B, L, H], or None."""
        return [None] * len(self.ssd_layers)

    def _write_modulations(
        self, operations: StepOperations, hidden: Value, elapsed: Value, state: State
    ) -> tuple[Sequence[Value | None], State]:
        """``_modulations`` for one more event, [B, H], and the time branch's new state."""
        return [None] * len(self.ssd_layers), state

    def _layers(self) -> list[SsdLayer]:
        return [layer for layer in self.ssd_layers if isinstance(layer, SsdLayer)]


class TiM4Rec(Ssd4Rec):
    """A stack of SSD layers whose step sizes depend on timestamps.

    In streaming the gap before each event is known. In a window of a longer history the gap before
    the first event is taken as zero.
    """

    uses_time = True

    def __init__(self, config: TiM4RecConfig) -> None:
        makers = {"causal": CausalTimeSsdBlock, "reference": ReferenceTimeSsdBlock}
        make = makers.get(config.time_mode)
        last = config.num_layers - 1
        super().__init__(
            config,
            None if make is None else [make(config, i < last) for i in range(last + 1)],
        )
        self.config = config
        self.uses_time = config.time_mode != "off"
        if config.time_mode == "reference":
            self.causal = self.streaming = False
            self.max_length = config.max_length
            self.dropout = nn.Dropout(config.dropout)
            self.layer_norm_time = nn.LayerNorm(config.max_length, eps=config.norm_eps)

    def initial_state(self, batch_size: int) -> State:
        """The state of each layer's block, and of the time branch if there is one.

        Raises:
            NotImplementedError: in reference mode, where each event changes the whole time branch.
        """
        if not self.streaming:
            raise NotImplementedError("TiM4Rec cannot stream with time_mode='reference'")
        times = [block.initial_times(batch_size) for block in self._causal_blocks()]
        return super().initial_state(batch_size) | {"times": times}

    def _modulations(self, batch: SequenceBatch) -> Sequence[Tensor | None]:
        if self.config.time_mode == "off":
            return super()._modulations(batch)
        if self.config.time_mode == "reference":
            return self._reference_modulations(batch)
        gap, times = self._gap_and_times(gaps(batch))
        modulations = []
        for block in self._causal_blocks():
            modulation, times = block.modulate(times, gap)
            modulations.append(modulation)
        return modulations

    def _reference_modulations(self, batch: SequenceBatch) -> list[Tensor]:
        length, longest = batch.items.shape[1], self.config.max_length
        check_length(length, longest, "on which the weights of the time branch depend")
        differences = padded_gaps(batch, longest).to(self.layer_norm_time.weight.dtype)
        times = self.layer_norm_time(self.dropout(differences))
        times = times[:, None].expand(-1, self.config.num_heads, -1)
        modulations = []
        for layer in self._layers():
            if isinstance(layer.ssd, ReferenceTimeSsdBlock):
                modulation, times = layer.ssd.modulate(times)
                modulations.append(modulation[:, :length])
        return modulations

    def _write_modulations(
        self, operations: StepOperations, hidden: Value, elapsed: Value, state: State
    ) -> tuple[Sequence[Value | None], State]:
        config = self.config
        if config.time_mode == "off":
            return super()._write_modulations(operations, hidden, elapsed, state)
        gap = operations.log_gap(
            elapsed, hidden, scale=config.time_scale, mean=config.time_mean, std=config.time_std
        )
        times = operations.repeat(gap, config.num_heads)
        modulations, states = [], []
        for block, block_state in zip(self._causal_blocks(), state, strict=True):
            modulation, times, block_state = block.write_modulation(
                operations, times, gap, block_state
            )
            modulations.append(modulation)
            states.append(block_state)
        return modulations, states

    def _gap_and_times(self, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised gaps [..., 1], and the same for each head [..., H]."""
        gap = standardised(seconds, self.config, self._first.D.dtype)[..., None]
        return gap, gap.expand(*gap.shape[:-1], self.config.num_heads)

    @property
    def _first(self) -> SsdBlock:
        return self._layers()[0].ssd

    def _causal_blocks(self) -> list[CausalTimeSsdBlock]:
        blocks = [layer.ssd for layer in self._layers()]
        return [block for block in blocks if isinstance(block, CausalTimeSsdBlock)]
