"""The Mamba-1 block (arXiv 2312.00752, section 3), with mamba-ssm's parameter names and shapes.

Shapes in brackets: B batch, L positions, D width, I inner width, N states per channel, K taps.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.ops import StepOperations, causal_convolution, convolved_scan_last, selective_scan
from seqzoo.ops.exporting import softplus
from seqzoo.ops.step_operations import Value

__all__ = ["MambaBlock"]


class MambaBlock(nn.Module):
    """Gated selective state space block: [B, L, D] -> [B, L, D].

    Args:
        hidden_size: D.
        state_size: N.
        conv_size: K.
        expand: I is ``expand * hidden_size``.
        backend: the backend of the kernels; see ``seqzoo.ops.backends.choose``.
    """

    def __init__(
        self, hidden_size: int, state_size: int, conv_size: int, expand: int, backend: str = "auto"
    ) -> None:
        super().__init__()
        inner = expand * hidden_size
        self.state_size = state_size
        self.backend = backend
        self.rank = math.ceil(hidden_size / 16)
        self.in_proj = nn.Linear(hidden_size, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, conv_size, groups=inner, padding=conv_size - 1)
        self.x_proj = nn.Linear(inner, self.rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        rates = torch.arange(1, state_size + 1, dtype=torch.float32)
        self.A_log = nn.Parameter(rates.log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, hidden_size, bias=False)
        # The optimizer reads this: decay of the logarithm would not make the model simpler.
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]

    def reset_step_size(self) -> None:
        """Mamba's own initialisation: steps log-uniform in 0.001 to 0.1 (section 3.6, and code)."""
        bound = self.rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = math.log(1e-3), math.log(1e-1)
        steps = torch.exp(torch.rand_like(self.dt_proj.bias) * (high - low) + low).clamp(min=1e-4)
        with torch.no_grad():
            # The inverse of softplus.
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        x, gate = self.in_proj(hidden).chunk(2, dim=-1)
        x = self._convolve(x)
        step, write, read = self._select(x)
        y = selective_scan(x, step, self._decay(), write, read, self.backend) + self.D * x
        return self.out_proj(y * functional.silu(gate))  # type: ignore[no-any-return]

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        Gate, output and read projections are computed only for that event.
        """
        inner = self.D.shape[0]
        newest = batch.gather_last(hidden)
        gate = functional.linear(newest, self.in_proj.weight[inner:])
        split = self.rank + self.state_size
        state, x_newest = convolved_scan_last(
            hidden,
            self.in_proj.weight[:inner],
            self.conv1d.weight[:, 0],
            self.conv1d.get_parameter("bias"),
            self.x_proj.weight[:split],
            self.dt_proj.weight,
            self.dt_proj.bias,
            self._decay(),
            batch.lengths,
            self.backend,
        )
        read = functional.linear(x_newest, self.x_proj.weight[split:])
        y = torch.einsum("bni,bn->bi", state, read) + self.D * x_newest
        return self.out_proj(y * functional.silu(gate))  # type: ignore[no-any-return]

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Zero inputs of the convolution [B, K - 1, I] and zero states [B, N, I]."""
        inner = self.D.shape[0]
        taps = self.conv1d.weight.shape[-1]
        return (
            self.D.new_zeros(batch_size, taps - 1, inner),
            self.D.new_zeros(batch_size, self.state_size, inner),
        )

    def write_step(
        self, operations: StepOperations, hidden: Value, state: tuple[Value, Value]
    ) -> tuple[Value, tuple[Value, Value]]:
        """One more event of each user: [B, D] -> [B, D], at a constant cost."""
        inputs, states = state
        inner, rank, width = len(self.D), self.rank, self.state_size
        x, gate = operations.split(operations.linear(hidden, self.in_proj), [inner, inner])
        x, inputs = operations.convolution(x, inputs, self.conv1d)
        x = operations.activation(x, "silu")
        sizes = [rank, width, width]
        step, write, read = operations.split(operations.linear(x, self.x_proj), sizes)
        step = operations.activation(operations.linear(step, self.dt_proj), "softplus")
        y, states = operations.selective_scan(x, step, write, read, states, (self, "A_log"))
        y = y + operations.scale(x, (self, "D"))
        y = y * operations.activation(gate, "silu")
        return operations.linear(y, self.out_proj), (inputs, states)

    def _decay(self) -> Tensor:
        return -torch.exp(self.A_log).T.contiguous()

    def _convolve(self, x: Tensor) -> Tensor:
        """Causal depthwise convolution and SiLU: [B, L, I] -> [B, L, I]."""
        convolved = causal_convolution(
            x, self.conv1d.weight[:, 0], self.conv1d.get_parameter("bias"), self.backend
        )
        return functional.silu(convolved)

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes [..., I], write and read projections [..., N]."""
        rank, states = self.rank, self.state_size
        step, write, read = self.x_proj(x).split([rank, states, states], dim=-1)
        return softplus(self.dt_proj(step)), write, read
