"""What a step of a backbone may do with one more event of each user.

A backbone writes its step with these methods, once. Here PyTorch computes each of them at once, for
any dtype and device; that defines the result. ``seqzoo.ops.native.recorder`` has the same methods
and records them, as a program for the compiled kernels.

Shapes in brackets: B users, n numbers of each user, I channels, N states per channel, H heads, P
width of a head, K taps.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.ops.precision import widened
from seqzoo.ops.selective_scan import selective_scan_step
from seqzoo.ops.ssd import ssd_step

__all__ = [
    "ACTIVATIONS",
    "Recorded",
    "StepOperations",
    "Value",
    "Weight",
]

Value: TypeAlias = Any
"""Numbers of each user [B, n]: a tensor, or a register of a program. ``+``, ``-`` and ``*`` take
two values of the same size."""

Weight: TypeAlias = tuple[nn.Module, str]
"""A parameter: the module that has it, and its name there. The tensor may be replaced later."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "hardswish": functional.hardswish,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softplus": functional.softplus,
}


class Recorded:
    """A value in a program that is being recorded.

    Attributes:
        operations: record what is done with it.
    """

    operations: "StepOperations"


class StepOperations:
    """Operations on values [B, n] and states [B, ...] of B users.

    Args:
        backend: of the kernels; see ``seqzoo.ops.backends.choose``.
    """

    def __init__(self, backend: str | None = None) -> None:
        self.backend = backend

    def embedding(self, items: Value, table: Weight) -> Value:
        """Rows of a table: indices [B] -> [B, n]."""
        return functional.embedding(items, _tensor(table))

    def linear(self, x: Value, module: nn.Linear) -> Value:
        """A linear layer: [B, n] -> [B, m]."""
        return module(x)

    def convolution(self, x: Value, tail: Value, module: nn.Conv1d) -> tuple[Value, Value]:
        """One more position of a causal depthwise convolution.

        Args:
            x: input [B, I].
            tail: the previous inputs [B, K - 1, I].
            module: has taps [I, 1, K] and a bias.

        Returns:
            [B, I], and the newest inputs [B, K - 1, I].
        """
        inputs = torch.cat([tail, x[:, None]], dim=1)
        taps, bias = module.weight[:, 0], module.get_parameter("bias")
        return (inputs * taps.T).sum(1) + bias, inputs[:, 1:]

    def selective_scan(
        self, x: Value, step: Value, write: Value, read: Value, state: Value, log_rates: Weight
    ) -> tuple[Value, Value]:
        """``seqzoo.ops.selective_scan_step`` with ``decay = -exp(log_rates).T``.

        Args:
            x: input [B, I].
            step: step sizes [B, I].
            write: input projections [B, N].
            read: output projections [B, N].
            state: [B, N, I].
            log_rates: a parameter [I, N].

        Returns:
            [B, I], and the new state.
        """
        decay = -torch.exp(_tensor(log_rates)).T.contiguous()
        return selective_scan_step(x, step, decay, write, read, state, self.backend)

    def ssd(
        self, x: Value, step: Value, write: Value, read: Value, state: Value, log_rates: Weight
    ) -> tuple[Value, Value]:
        """``seqzoo.ops.ssd_step`` with ``decay = -exp(log_rates)``.

        Args:
            x: input of all heads [B, H * P].
            step: step sizes [B, H].
            write: input projections [B, N].
            read: output projections [B, N].
            state: [B, H, P, N].
            log_rates: a parameter [H].

        Returns:
            [B, H * P], and the new state.
        """
        decay = -torch.exp(_tensor(log_rates))
        heads = x.unflatten(-1, (len(decay), -1))
        y, state = ssd_step(heads, step, decay, write, read, state, self.backend)
        return y.flatten(-2), state

    def gru(self, x: Value, state: Value, module: nn.GRU) -> tuple[Value, Value]:
        """A gated recurrent unit without biases, batch first.

        Args:
            x: input [B, D].
            state: of all layers [B, layers, G].
            module: has the weights.

        Returns:
            The state of the last layer [B, G], and the new state.
        """
        y, state = module(x[:, None], state.transpose(0, 1).contiguous())
        return y[:, 0], state.transpose(0, 1)

    def rotation(
        self, x: Value, state: Value, log_rates: Weight, log_angles: Weight
    ) -> tuple[Value, Value]:
        """A diagonal complex recurrence, ``exp(-exp(log_rates) + i exp(log_angles)) state + x``.

        Args:
            x: pairs of real and imaginary part [B, 2H].
            state: [B, H, 2], in float32 at least.
            log_rates: a parameter [H].
            log_angles: a parameter [H].

        Returns:
            The new state as pairs [B, 2H], and the new state.
        """
        # In bfloat16 all factors near 1 would be the same.
        rates, angles = widened(_tensor(log_rates)).exp(), widened(_tensor(log_angles)).exp()
        radius = (-rates).exp()
        real, imaginary = (radius * angles.cos())[:, None], (radius * angles.sin())[:, None]
        turned = torch.stack([-state[..., 1], state[..., 0]], dim=-1)
        state = real * state + imaginary * turned + x.view(state.shape)
        return state.flatten(1).to(x.dtype), state

    def norm(self, x: Value, module: nn.LayerNorm | nn.RMSNorm) -> Value:
        """LayerNorm or RMSNorm over the n numbers of each user."""
        return module(x)

    def dropout(self, x: Value, module: nn.Dropout) -> Value:
        """Dropout, which does nothing in evaluation mode."""
        return module(x)

    def activation(self, x: Value, name: str) -> Value:
        """``gelu`` (exact), ``hardswish``, ``sigmoid``, ``silu`` or ``softplus``."""
        return ACTIVATIONS[name](x)

    def split(self, x: Value, sizes: Sequence[int]) -> Sequence[Value]:
        """Consecutive parts of these sizes: [B, n] -> [B, size] each."""
        return torch.split(x, list(sizes), dim=-1)

    def shift(self, x: Value, weight: Weight) -> Value:
        """Add a parameter [g], each of its values to n / g neighbours."""
        values = _tensor(weight)[:, None]
        return (x.unflatten(-1, (len(values), -1)) + values).flatten(-2)

    def scale(self, x: Value, weight: Weight, *, logarithms: bool = False) -> Value:
        """Multiply by a parameter [g], n / g neighbours by each of its values.

        ``logarithms`` says that the parameter holds the logarithms of the factors.
        """
        values = _tensor(weight)[:, None]
        values = values.exp() if logarithms else values
        return (x.unflatten(-1, (len(values), -1)) * values).flatten(-2)

    def repeat(self, x: Value, count: int) -> Value:
        """The same number several times: [B, 1] -> [B, count]."""
        return x.expand(-1, count)

    def log_gap(
        self, seconds: Value, like: Value, *, scale: float, mean: float, std: float
    ) -> Value:
        """``(log1p(seconds / scale) - mean) / std``: [B] -> [B, 1]; negative gaps count as zero.

        Args:
            seconds: int64; None for zeros.
            like: a value that has the dtype of the result.
            scale: in seconds.
            mean: of the logarithms.
            std: their standard deviation.
        """
        if seconds is None:
            seconds = torch.zeros(like.shape[0], dtype=torch.int64, device=like.device)
        # In float32 at least: half precision would round the seconds.
        passed = seconds.clamp(min=0).to(torch.promote_types(like.dtype, torch.float32))
        return ((torch.log1p(passed / scale) - mean) / std).to(like.dtype)[:, None]


def torch_step(
    module: Any, hidden: Tensor, state: Any, seconds: Tensor | None
) -> tuple[Tensor, Any]:
    """One more event of each user by PyTorch; see ``seqzoo.ops.CompiledStep``."""
    found: tuple[Tensor, Any] = module.write_step(StepOperations("torch"), hidden, state, seconds)
    return found


def _tensor(weight: Weight) -> Tensor:
    module, name = weight
    return module.get_parameter(name)
