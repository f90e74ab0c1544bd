"""The linear recurrent unit of LRURec (Yue et al., WSDM 2024; after arXiv 2303.06349, section 3).

Complex numbers are kept as pairs of real ones wherever something is stored or trained: weights,
gradients and states of sessions are plain real tensors, with the pair as the last axis or
interleaved, so that ``view_as_complex`` and ``view_as_real`` copy nothing.

Shapes in brackets: B batch, L positions, D width of the model, H complex channels.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqzoo.interfaces import SequenceBatch

_INITIAL_STD = 0.02


def linear_scan(inputs: Tensor, decay: Tensor) -> Tensor:
    """All states ``h[t] = decay . h[t - 1] + inputs[t]`` with h[-1] = 0, in log2(L) steps.

    Args:
        inputs: complex [B, L, H].
        decay: complex [H], of absolute value up to 1.

    Returns:
        States, complex [B, L, H].
    """
    states: Tensor = _LinearScan.apply(inputs, decay)  # type: ignore[no-untyped-call]
    return states


def linear_scan_last(inputs: Tensor, decay: Tensor) -> Tensor:
    """The last of the states that ``linear_scan`` gives: [B, L, H], [H] -> [B, H].

    Neighbours are joined to ``decay . h[2t] + h[2t + 1]``, which halves the positions and squares
    the decay: log2(L) steps with L additions in all.
    """
    while inputs.shape[1] > 1:
        if inputs.shape[1] % 2:
            inputs = nn.functional.pad(inputs, (0, 0, 1, 0))
        inputs = torch.addcmul(inputs[:, 1::2], inputs[:, ::2], decay)
        decay = decay * decay
    return inputs[:, 0]


class _LinearScan(torch.autograd.Function):
    """The scan in place; autograd would keep the states of every step of the doubling.

    The gradient of the inputs is the same scan backwards in time with the conjugate decay.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, decay: Tensor) -> Tensor:
        states = _scan_in_place(inputs.clone(memory_format=torch.contiguous_format), decay)
        ctx.save_for_backward(states, decay)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor]:
        states, decay = ctx.saved_tensors
        reverse = grad_states.flip(1).contiguous()
        grad_inputs = _scan_in_place(reverse, decay.conj().resolve_conj()).flip(1)
        grad_decay = (grad_inputs[:, 1:] * states[:, :-1].conj()).sum((0, 1))
        return grad_inputs, grad_decay


def _scan_in_place(states: Tensor, decay: Tensor) -> Tensor:
    """Join blocks of 1, 2, 4, ... positions: [B, L, H], [H] -> [B, L, H].

    To the right one of two neighbours of S positions the left one's last state is added, times
    ``decay^1 .. decay^S``. Powers come from products, not from ``exp(k log decay)``, whose angle
    would round at the size of k turns.
    """
    rows, length, channels = states.shape
    powers, size = decay[None], 1
    while size < length:
        whole = length - length % (2 * size)
        pairs = states[:, :whole].view(rows, -1, 2, size, channels)
        pairs[:, :, 1].addcmul_(pairs[:, :, 0, -1:], powers)
        rest = length - whole - size
        if rest > 0:
            last = states[:, whole + size - 1, None]
            states[:, whole + size :].addcmul_(last, powers[:rest])
        powers = torch.cat([powers, powers * powers[-1]])
        size *= 2
    return states


class LinearRecurrentUnit(nn.Module):
    """Complex diagonal recurrence between two complex linear maps: [B, L, D] -> [B, L, D].

    With lambda = exp(-exp(nu) + i exp(theta)), whose absolute value is below 1 for every nu::

        u_t = gamma . (W_in x_t + b_in)
        h_t = lambda . h_{t-1} + u_t
        y_t = Re(W_out h_t + b_out)

    Attributes:
        nu, theta, log_gamma: one value per channel [H].
        in_proj: rows 2k and 2k + 1 are the real and imaginary part of row k of W_in and b_in.
        out_proj: columns 2k and 2k + 1 are the real part and the negative imaginary part of column
            k of W_out. The imaginary part of b_out affects no output and is left out.
    """

    def __init__(
        self, hidden_size: int, channels: int, min_radius: float = 0.8, max_radius: float = 0.99
    ) -> None:
        super().__init__()
        self.nu = nn.Parameter(torch.empty(channels))
        self.theta = nn.Parameter(torch.empty(channels))
        self.log_gamma = nn.Parameter(torch.empty(channels))
        self.in_proj = nn.Linear(hidden_size, 2 * channels)
        self.out_proj = nn.Linear(2 * channels, hidden_size)
        self.reset_recurrence(min_radius, max_radius)
        for linear in (self.in_proj, self.out_proj):
            truncated_normal(linear)

    def reset_recurrence(self, min_radius: float, max_radius: float) -> None:
        """|lambda|^2 uniform between the squares of both radii, the phase uniform on the circle.

        gamma = sqrt(1 - |lambda|^2) keeps the states at the size of the inputs (arXiv 2303.06349,
        section 3.3 and lemma 3.2).
        """
        with torch.no_grad():
            square = torch.empty_like(self.nu).uniform_(min_radius**2, max_radius**2)
            # A phase of exactly 0 would have no logarithm.
            phase = torch.rand_like(self.theta).clamp(min=torch.finfo(torch.float32).eps)
            self.nu.copy_(torch.log(-0.5 * torch.log(square)))
            self.theta.copy_(torch.log(2.0 * math.pi * phase))
            self.log_gamma.copy_(0.5 * torch.log1p(-square))

    def decay(self) -> Tensor:
        """lambda, complex [H]."""
        return torch.polar(torch.exp(-torch.exp(_wide(self.nu))), torch.exp(_wide(self.theta)))

    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self._read(linear_scan(self._write(hidden), self.decay()))

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        Histories are moved to the right end, where all of them have their newest state.
        """
        positions = torch.arange(hidden.shape[1], device=hidden.device)
        source = positions - (hidden.shape[1] - batch.lengths)[:, None]
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        inputs = self._write(hidden[rows, source.clamp(min=0)])
        inputs = inputs.masked_fill((source < 0)[..., None], 0.0)
        return self._read(linear_scan_last(inputs, self.decay()))

    def initial_state(self, batch_size: int) -> Tensor:
        """Zero states as pairs of real numbers [B, H, 2]."""
        return _wide(self.nu).new_zeros(batch_size, len(self.nu), 2)

    def step(self, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One more event of each user: [B, D], [B, H, 2] -> [B, D], [B, H, 2]."""
        states = self.decay() * torch.view_as_complex(state) + self._write(hidden)
        return self._read(states), torch.view_as_real(states)

    def _write(self, hidden: Tensor) -> Tensor:
        """u of the equations: [..., D] -> complex [..., H]."""
        pairs = _wide(self.in_proj(hidden)).reshape(*hidden.shape[:-1], -1, 2)
        return torch.view_as_complex(pairs * torch.exp(_wide(self.log_gamma))[:, None])

    def _read(self, states: Tensor) -> Tensor:
        """y of the equations: complex [..., H] -> [..., D]."""
        pairs = torch.view_as_real(states).flatten(-2)
        return self.out_proj(pairs.to(self.out_proj.weight.dtype))  # type: ignore[no-any-return]


def truncated_normal(linear: nn.Linear) -> None:
    """Weights and biases normal (0, 0.02), cut off at two standard deviations."""
    for parameter in linear.parameters():
        nn.init.trunc_normal_(
            parameter, 0.0, _INITIAL_STD, a=-2.0 * _INITIAL_STD, b=2.0 * _INITIAL_STD
        )


def _wide(values: Tensor) -> Tensor:
    """Half precision as float32, anything else as it is: the recurrence never runs in halves."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
