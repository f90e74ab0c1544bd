"""The SSD block of Mamba-2 (arXiv 2405.21060, section 7), with the released parameter names.

Shapes in brackets: B batch, L positions, D width, I inner width, H heads, P channels of a head
(I = H P), N states per channel, K taps.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.ops import StepOperations, causal_convolution, ssd, ssd_last
from seqzoo.ops.step_operations import Value
from seqzoo_tim4rec.config import Ssd4RecConfig

__all__ = ["BlockState", "SsdBlock", "convolve"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "hardswish": functional.hardswish,
    "silu": functional.silu,
}

BlockState = tuple[Tensor, Tensor]
"""The newest inputs of the convolution [B, K - 1, I + 2 N] and the states [B, H, P, N]."""


class SsdBlock(nn.Module):
    """Gated state space block with one step size per head: [B, L, D] -> [B, L, D].

    A ``modulation`` [B, L, H], computed from timestamps, multiplies the raw step size before
    bias and softplus.
    """

    def __init__(self, config: Ssd4RecConfig) -> None:
        super().__init__()
        inner, states, heads = config.inner_size, config.state_size, config.num_heads
        mixed = inner + 2 * states
        self.sizes = (inner, states, heads)
        self.chunk_size = config.chunk_size
        self.backend = config.backend
        self.activation = config.activation
        self.in_proj = nn.Linear(config.hidden_size, inner + mixed + heads)
        self.conv1d = nn.Conv1d(mixed, mixed, config.conv_size, groups=mixed)
        # Mamba-2's initialisation: steps log-uniform in 0.001 to 0.1, rates uniform in 1 to 16.
        low, high = math.log(1e-3), math.log(1e-1)
        steps = torch.exp(torch.rand(heads) * (high - low) + low).clamp(min=1e-4)
        # The inverse of softplus.
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1.0, 16.0).log())
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner, eps=config.norm_eps)
        self.out_proj = nn.Linear(inner, config.hidden_size)

    def forward(self, hidden: Tensor, modulation: Tensor | None = None) -> Tensor:
        """All positions: [B, L, D], [B, L, H] -> [B, L, D]."""
        inner, states, heads = self.sizes
        gate, mixed, raw = self.in_proj(hidden).split([inner, inner + 2 * states, heads], dim=-1)
        x, write, read = self._convolve(mixed)
        step = self._step_size(raw, modulation)
        y = ssd(x, step, self._decay(), write, read, self.chunk_size, self.backend)
        return self._finish(y, x, gate)

    def last(
        self, hidden: Tensor, batch: SequenceBatch, modulation: Tensor | None = None
    ) -> Tensor:
        """Only the newest event of each history, from the final state: [B, L, D] -> [B, D]."""
        inner, states, heads = self.sizes
        weight, bias = self.in_proj.weight, self.in_proj.bias
        gate = functional.linear(batch.gather_last(hidden), weight[:inner], bias[:inner])
        others = functional.linear(hidden, weight[inner:], bias[inner:])
        mixed, raw = torch.split(others, [inner + 2 * states, heads], dim=-1)
        x, write, read = self._convolve(mixed)
        step = self._step_size(raw, modulation)
        state = ssd_last(x, step, self._decay(), write, batch.lengths, self.backend)
        y = torch.einsum("bhpn,bn->bhp", state, batch.gather_last(read))
        return self._finish(y, batch.gather_last(x), gate)

    def initial_state(self, batch_size: int) -> BlockState:
        """Zero inputs of the convolution and zero states."""
        inner, states, heads = self.sizes
        channels, _, taps = self.conv1d.weight.shape
        return (
            self.D.new_zeros(batch_size, taps - 1, channels),
            self.D.new_zeros(batch_size, heads, inner // heads, states),
        )

    def write_step(
        self,
        operations: StepOperations,
        hidden: Value,
        state: tuple[Value, Value],
        modulation: Value | None = None,
    ) -> tuple[Value, tuple[Value, Value]]:
        """One more event of each user: [B, D], [B, H] -> [B, D], at a constant cost."""
        inner, width, heads = self.sizes
        tail, states = state
        projected = operations.linear(hidden, self.in_proj)
        gate, mixed, raw = operations.split(projected, [inner, inner + 2 * width, heads])
        mixed, tail = operations.convolution(mixed, tail, self.conv1d)
        mixed = operations.activation(mixed, self.activation)
        x, write, read = operations.split(mixed, [inner, width, width])
        raw = raw if modulation is None else raw * modulation
        step = operations.activation(operations.shift(raw, (self, "dt_bias")), "softplus")
        y, states = operations.ssd(x, step, write, read, states, (self, "A_log"))
        y = y + operations.scale(x, (self, "D"))
        y = operations.norm(y * operations.activation(gate, "silu"), self.norm)
        return operations.linear(y, self.out_proj), (tail, states)

    def activate(self, x: Tensor) -> Tensor:
        """The activation after the convolutions: [...] -> [...]."""
        return _ACTIVATIONS[self.activation](x)

    def _step_size(self, raw: Tensor, modulation: Tensor | None) -> Tensor:
        return functional.softplus((raw if modulation is None else raw * modulation) + self.dt_bias)

    def _decay(self) -> Tensor:
        return -torch.exp(self.A_log)

    def _convolve(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._split(self.activate(convolve(self.conv1d, mixed, self.backend)))

    def _split(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input of the heads [..., H, P], write and read projections [..., N]."""
        inner, states, heads = self.sizes
        x, write, read = torch.split(mixed, [inner, states, states], dim=-1)
        return x.reshape(*x.shape[:-1], heads, inner // heads), write, read

    def _finish(self, y: Tensor, x: Tensor, gate: Tensor) -> Tensor:
        """Skip connection, gate, then norm and output: [..., H, P] -> [..., D]."""
        y = (y + self.D[:, None] * x).flatten(-2)
        return self.out_proj(self.norm(y * functional.silu(gate)))  # type: ignore[no-any-return]


def convolve(conv: nn.Conv1d, x: Tensor, backend: str) -> Tensor:
    """Causal depthwise convolution with the taps of ``conv``: [B, L, C] -> [B, L, C]."""
    return causal_convolution(x, conv.weight[:, 0], conv.get_parameter("bias"), backend)
