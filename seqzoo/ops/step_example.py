"""A step with every operation, by which the backends of steps are probed.

Shapes in brackets: B users, I channels, N states per channel, H heads, P width of a head, K taps, R
layers of a recurrent network, G width of their states, C complex channels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Example", "run_example"]

_SCALE = 0.3
"""Standard deviation of the weights."""


class Example(nn.Module):
    """A step that uses every operation at least once: [B, I] -> [B, I].

    Args:
        tail: [B, K - 1, I].
        state: of the selective scan [B, N, I].
        heads: of SSD [B, H, P, N].
        layers: of the recurrent network [B, R, G].
        pairs: of the rotation [B, C, 2].
    """

    def __init__(
        self, tail: Tensor, state: Tensor, heads: Tensor, layers: Tensor, pairs: Tensor
    ) -> None:
        super().__init__()
        _, taps, channels = tail.shape
        _, count, width, states = heads.shape
        self.sizes = {"x": channels, "write": state.shape[1], "read": state.shape[1]}
        self.head_sizes = {"x": count * width, "step": count, "write": states, "read": states}
        self.taps = nn.Conv1d(channels, channels, taps + 1, groups=channels)
        self.project = nn.Linear(channels, sum(self.sizes.values()))
        self.step_sizes = nn.Linear(1, channels, bias=False)
        self.log_rates = nn.Parameter(torch.empty(channels, state.shape[1]))
        self.skip = nn.Parameter(torch.empty(channels))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.to_heads = nn.Linear(channels, sum(self.head_sizes.values()))
        self.offsets = nn.Parameter(torch.empty(count))
        self.head_log_rates = nn.Parameter(torch.empty(count))
        self.head_norm = nn.RMSNorm(count * width, eps=1e-6)
        self.out = nn.Linear(count * width, channels)
        self.gru = nn.GRU(channels, layers.shape[2], layers.shape[1], bias=False, batch_first=True)
        self.to_pairs = nn.Linear(layers.shape[2], 2 * pairs.shape[1])
        self.log_decays, self.log_angles, self.log_gamma = (
            nn.Parameter(torch.empty(pairs.shape[1])) for _ in range(3)
        )
        self.from_pairs = nn.Linear(2 * pairs.shape[1], channels)
        self.dropout = nn.Dropout()
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(_SCALE * torch.randn(parameter.shape, generator=draw))

    def write_step(
        self, operations: Any, hidden: Any, state: tuple[Any, ...], elapsed: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """One more event of each user: [B, I] -> [B, I]."""
        do = operations
        tail, channels, heads, layers, pairs = state
        x, tail = do.convolution(hidden, tail, self.taps)
        parts = do.split(do.linear(do.activation(x, "silu"), self.project), [*self.sizes.values()])
        gap = do.log_gap(elapsed, hidden, scale=60.0, mean=0.4, std=1.3)
        step = do.activation(do.linear(gap, self.step_sizes), "softplus")
        x, write, read = parts
        y, channels = do.selective_scan(x, step, write, read, channels, (self, "log_rates"))
        x = do.norm(y + do.scale(x, (self, "skip")), self.norm)
        sizes = [*self.head_sizes.values()]
        x, step, write, read = do.split(do.linear(do.activation(x, "gelu"), self.to_heads), sizes)
        step = do.activation(do.shift(step, (self, "offsets")), "softplus")
        step = step * do.repeat(do.activation(gap, "sigmoid"), len(self.offsets))
        y, heads = do.ssd(x, step, write, read, heads, (self, "head_log_rates"))
        y = do.norm(y - do.activation(x, "hardswish"), self.head_norm)
        y = do.linear(y, self.out)
        # Beside the others, so that their rounding is not amplified.
        x, layers = do.gru(hidden, layers, self.gru)
        x = do.scale(do.linear(x, self.to_pairs), (self, "log_gamma"), logarithms=True)
        x, pairs = do.rotation(x, pairs, (self, "log_decays"), (self, "log_angles"))
        y = do.dropout(y + do.linear(x, self.from_pairs), self.dropout)
        return y, (tail, channels, heads, layers, pairs)


def run_example(
    implementation: Callable[..., Any], hidden: Tensor, seconds: Tensor, *state: Tensor
) -> list[Tensor]:
    """The result and the new states of one event of each user [B, I], by a backend of steps."""
    with torch.random.fork_rng(devices=[]):
        module = Example(*state).to(hidden).eval()
    found, after = implementation(module, hidden, state, seconds)
    return [found, *after]
