"""SSD blocks with a time branch (arXiv 2409.16182), which computes factors of the step sizes.

The branch does not read items. Its input is a time feature ``tau``: gaps between events in the
first layer, the output of the previous layer's branch in the others. ``tau`` is multiplied by gains
from a small network and smoothed by two convolutions; the result multiplies the step sizes. A gate
mixes the result with ``tau``, which gives the input of the next layer's branch. The last layer
needs no gate and no norm. The released code has them there, but no gradient reaches them and no
result depends on them.

Shapes in brackets: B batch, L positions, H heads, K taps.
"""

from torch import Tensor, nn

from seqzoo.ops import StepOperations
from seqzoo.ops.step_operations import Value
from seqzoo_tim4rec.config import TiM4RecConfig
from seqzoo_tim4rec.ssd import SsdBlock, convolve

__all__ = ["CausalTimeSsdBlock", "ReferenceTimeSsdBlock", "TimeSsdBlock", "TimeState"]

_NETWORK_WIDTH = 16
"""Hidden units of the causal branch's network, which has one input and one output per head."""

TimeState = tuple[Tensor, Tensor]
"""The newest inputs of the two convolutions, [B, K - 1, H] each."""


class TimeSsdBlock(SsdBlock):
    """What both time branches share: gains, two causal convolutions and a gate.

    The convolutions always run in torch: with only H channels they cost little.
    """

    def __init__(self, config: TiM4RecConfig, gains: nn.Module, gate: nn.Module | None) -> None:
        super().__init__(config)
        heads, taps = config.num_heads, config.conv_size
        self.conv1d4time_1 = nn.Conv1d(heads, heads, taps, groups=heads)
        self.conv1d4time_2 = nn.Conv1d(heads, heads, taps, groups=heads)
        self.mlp4time_scale = gains
        self.time_gate_residual = gate

    def _smooth(self, values: Tensor) -> Tensor:
        """Both convolutions, each followed by the activation: [B, L, H] -> [B, L, H]."""
        for conv in (self.conv1d4time_1, self.conv1d4time_2):
            values = self.activate(convolve(conv, values, "torch"))
        return values


class ReferenceTimeSsdBlock(TimeSsdBlock):
    """The released time branch: networks and norm over the whole window, so not causal.

    Args:
        config: settings; ``max_length`` is L.
        passes_on: whether another layer follows.
    """

    def __init__(self, config: TiM4RecConfig, passes_on: bool) -> None:
        length = config.max_length
        gains = nn.Sequential(
            nn.Dropout(config.time_dropout),
            nn.Linear(length, length),
            nn.SiLU(),
            nn.Linear(length, length),
        )
        gates = nn.Sequential(
            nn.Dropout(config.time_dropout),
            nn.Linear(length, length if config.p2p_residual else 1),
            nn.Sigmoid(),
        )
        super().__init__(config, gains, gates if passes_on else None)
        if passes_on:
            self.time_layer_norm = nn.LayerNorm(length, eps=config.norm_eps)

    def modulate(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Time features [B, H, L] -> modulation [B, L, H], next layer's time features [B, H, L]."""
        modulation = self._smooth((times * self.mlp4time_scale(times)).transpose(1, 2))
        if self.time_gate_residual is None:
            return modulation, times
        gate = self.time_gate_residual(times)
        passed = gate * times + (1.0 - gate) * modulation.transpose(1, 2)
        return modulation, self.time_layer_norm(passed)


class CausalTimeSsdBlock(TimeSsdBlock):
    """Our causal variant of the time branch.

    In every layer, gains are computed from the gap before each event, and there is one gate per
    event and head. There is no norm: over the window it would look ahead, and over the few heads it
    would remove the size of the gap.

    Args:
        config: settings.
        passes_on: whether another layer follows.
    """

    def __init__(self, config: TiM4RecConfig, passes_on: bool) -> None:
        heads = config.num_heads
        gains = nn.Sequential(
            nn.Dropout(config.time_dropout),
            nn.Linear(1, _NETWORK_WIDTH),
            nn.SiLU(),
            nn.Linear(_NETWORK_WIDTH, heads),
        )
        gates = nn.Sequential(
            nn.Dropout(config.time_dropout), nn.Linear(heads, heads), nn.Sigmoid()
        )
        super().__init__(config, gains, gates if passes_on else None)

    def modulate(self, times: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Time features [B, L, H], gaps [B, L, 1] -> modulation, next time features [B, L, H]."""
        modulation = self._smooth(times * self.mlp4time_scale(gap))
        return modulation, self._pass_on(times, modulation)

    def initial_times(self, batch_size: int) -> TimeState:
        """Zero inputs of both convolutions [B, K - 1, H]."""
        heads, _, taps = self.conv1d4time_1.weight.shape
        zeros = self.D.new_zeros(batch_size, taps - 1, heads)
        return zeros, zeros

    def write_modulation(
        self, operations: StepOperations, times: Value, gap: Value, state: tuple[Value, Value]
    ) -> tuple[Value, Value, tuple[Value, Value]]:
        """``modulate`` for one more event of each user: [B, H], [B, 1] -> [B, H] twice."""
        values, tails = times * _run(operations, self.mlp4time_scale, gap), []
        for conv, tail in zip((self.conv1d4time_1, self.conv1d4time_2), state, strict=True):
            convolved, new_tail = operations.convolution(values, tail, conv)
            values = operations.activation(convolved, self.activation)
            tails.append(new_tail)
        if self.time_gate_residual is not None:
            gate = _run(operations, self.time_gate_residual, times)
            times = values + gate * (times - values)
        return values, times, (tails[0], tails[1])

    def _pass_on(self, times: Tensor, modulation: Tensor) -> Tensor:
        if self.time_gate_residual is None:
            return times
        gate: Tensor = self.time_gate_residual(times)
        return gate * times + (1.0 - gate) * modulation


def _run(operations: StepOperations, network: nn.Module, x: Value) -> Value:
    """A small network of dropout, linear layers and activations: [B, n] -> [B, m]."""
    for part in network.children():
        if isinstance(part, nn.Dropout):
            x = operations.dropout(x, part)
        elif isinstance(part, nn.Linear):
            x = operations.linear(x, part)
        else:
            x = operations.activation(x, "silu" if isinstance(part, nn.SiLU) else "sigmoid")
    return x
