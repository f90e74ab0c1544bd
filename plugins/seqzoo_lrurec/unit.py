"""The linear recurrent unit of LRURec (arXiv 2310.02367; after arXiv 2303.06349, section 3).

Weights and states are real tensors, in which a complex number is a pair of neighbours: optimizers,
checkpoints and exported models need no complex numbers, and ``view_as_complex`` copies nothing.

Shapes in brackets: L positions, B histories, D width of the model, H complex channels. Time comes
first, see ``seqzoo_lrurec.recurrence``.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.ops import StepOperations
from seqzoo.ops.exporting import exporting, scan
from seqzoo.ops.precision import widened, without_autocast
from seqzoo.ops.step_operations import Value
from seqzoo.parts.layers import INITIAL_STD
from seqzoo_lrurec.recurrence import powers, recurrence

__all__ = ["LinearRecurrentUnit", "init_truncated"]


class LinearRecurrentUnit(nn.Module):
    """A diagonal complex recurrence between two complex linear maps: [L, B, D] -> [L, B, D].

    With lambda = exp(-exp(nu) + i exp(theta)), whose absolute value is below 1 for every nu::

        h[t] = lambda * h[t - 1] + gamma * (W_in x[t] + b_in)
        y[t] = Re(W_out h[t] + b_out)

    Attributes:
        nu, theta, log_gamma: one value per channel [H].
        in_proj: rows 2k and 2k + 1 are real and imaginary part of row k of W_in and b_in.
        out_proj: columns 2k and 2k + 1 are real part and negative imaginary part of column k of
            W_out. No result depends on the imaginary part of b_out, which is left out.
    """

    def __init__(
        self, hidden_size: int, channels: int, min_radius: float, max_radius: float
    ) -> None:
        super().__init__()
        self.nu = nn.Parameter(torch.empty(channels))
        self.theta = nn.Parameter(torch.empty(channels))
        self.log_gamma = nn.Parameter(torch.empty(channels))
        self.in_proj = nn.Linear(hidden_size, 2 * channels)
        self.out_proj = nn.Linear(2 * channels, hidden_size)
        self._initialise(min_radius, max_radius)
        init_truncated(self.in_proj)
        init_truncated(self.out_proj)

    def _initialise(self, min_radius: float, max_radius: float) -> None:
        """|lambda|^2 uniform between the squares of both radii, the angle uniform on the circle.

        gamma = sqrt(1 - |lambda|^2) keeps states at the size of the inputs (arXiv 2303.06349,
        section 3.4).
        """
        with torch.no_grad():
            square = torch.empty_like(self.nu).uniform_(min_radius**2, max_radius**2)
            # An angle of exactly 0 has no logarithm.
            angle = 2.0 * math.pi * torch.rand_like(self.theta).clamp(min=1e-7)
            self.nu.copy_((-0.5 * square.log()).log())
            self.theta.copy_(angle.log())
            self.log_gamma.copy_(0.5 * torch.log1p(-square))

    def decay(self) -> Tensor:
        """lambda: complex [H]."""
        return torch.polar((-widened(self.nu).exp()).exp(), widened(self.theta).exp())

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [L, B, D] -> [L, B, D]."""
        inputs = self._inputs(hidden)
        if exporting():
            start = inputs.new_zeros(inputs.shape[1:])
            _, states = scan(self._advance_twice, start, inputs)
        else:
            states = torch.view_as_real(recurrence(torch.view_as_complex(inputs), self.decay()))
        return self._outputs(states)

    def last(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Only the newest event of each history: [L, B, D], [B] -> [B, D].

        The newest state is a sum over the ages k of the events, ``lambda^k gamma (W_in x + b_in)``,
        in which W_in can be taken last: one product of matrices sums the vectors themselves.
        """
        if exporting():
            rows = torch.arange(lengths.shape[0], device=lengths.device)
            return self(hidden)[lengths - 1, rows]  # type: ignore[no-any-return]
        # In bfloat16 powers of lambda near 1 would all be the same.
        with without_autocast(hidden.device):
            position = lengths - 1 - torch.arange(len(hidden), device=hidden.device)[:, None]
            there = (position >= 0).unsqueeze(-1)
            rows = torch.arange(hidden.shape[1], device=hidden.device)
            by_age = widened(hidden)[position.clamp(min=0), rows].masked_fill(~there, 0.0)
            # The bias is one more column of the weights.
            by_age = torch.cat([by_age, there.to(by_age)], dim=-1)
            weights = torch.view_as_real(powers(self.decay(), len(hidden))).flatten(1)
            sums = (weights.to(by_age).T @ by_age.flatten(1)).view(-1, 2, *by_age.shape[1:])
            weight, bias = self._input_weights()
            both = widened(torch.cat([weight, bias[:, None]], dim=1)).view(-1, 2, by_age.shape[-1])
            # [H, parts of the sums, B, parts of the weights]
            products = (sums.flatten(1, 2) @ both.mT).view(len(both), 2, -1, 2)
            real = products[:, 0, :, 0] - products[:, 1, :, 1]
            imaginary = products[:, 0, :, 1] + products[:, 1, :, 0]
            states = torch.stack([real, imaginary], dim=-1).transpose(0, 1)
        return self._outputs(states)

    def initial_state(self, batch_size: int) -> Tensor:
        """Zero states as pairs of real numbers [B, H, 2]."""
        return widened(self.nu).new_zeros(batch_size, len(self.nu), 2)

    def write_step(
        self, operations: StepOperations, hidden: Value, state: Value
    ) -> tuple[Value, Value]:
        """One more event of each user: [B, D], [B, H, 2] -> [B, D], [B, H, 2]."""
        inputs = operations.linear(hidden, self.in_proj)
        inputs = operations.scale(inputs, (self, "log_gamma"), logarithms=True)
        pairs, state = operations.rotation(inputs, state, (self, "nu"), (self, "theta"))
        return operations.linear(pairs, self.out_proj), state

    def _advance(self, state: Tensor, inputs: Tensor) -> Tensor:
        """``lambda * state + inputs`` of pairs [..., H, 2]."""
        radius, angle = (-widened(self.nu).exp()).exp(), widened(self.theta).exp()
        real, imaginary = radius * angle.cos(), radius * angle.sin()
        turned = torch.stack([-state[..., 1], state[..., 0]], dim=-1)
        return real[:, None] * state + imaginary[:, None] * turned + inputs

    def _advance_twice(self, state: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        state = self._advance(state, inputs)
        return state, state

    def _input_weights(self) -> tuple[Tensor, Tensor]:
        """``gamma W_in`` [2H, D] and ``gamma b_in`` [2H]: gamma costs nothing per position."""
        weight, bias = self.in_proj.weight, self.in_proj.bias
        gamma = widened(self.log_gamma).exp().repeat_interleave(2)
        return (gamma[:, None] * weight).to(weight.dtype), (gamma * bias).to(bias.dtype)

    def _inputs(self, hidden: Tensor) -> Tensor:
        """``gamma (W_in x + b_in)`` as pairs: [..., D] -> [..., H, 2]."""
        pairs = functional.linear(hidden, *self._input_weights())
        return widened(pairs).view(*pairs.shape[:-1], -1, 2)

    def _outputs(self, states: Tensor) -> Tensor:
        """Y of the equations: pairs [..., H, 2] -> [..., D]."""
        pairs = states.flatten(-2)
        return self.out_proj(pairs.to(self.out_proj.weight.dtype))  # type: ignore[no-any-return]


def init_truncated(linear: nn.Linear) -> None:
    """Weights and biases normal (0, 0.02), cut off at two standard deviations, as published."""
    for parameter in linear.parameters():
        nn.init.trunc_normal_(
            parameter, 0.0, INITIAL_STD, a=-2.0 * INITIAL_STD, b=2.0 * INITIAL_STD
        )
