"""A layer of FuXi-Linear: three linear channels, a gate, and a feed-forward layer.

Shapes in brackets: B histories, L positions, D width, H heads, Q width of queries and keys, W width
of a head's values (H W = D), G groups of the temporal channel (two for each period), P width of the
position vectors.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import SequenceBatch
from seqzoo.ops.precision import widened, without_autocast
from seqzoo.parts.layers import INITIAL_STD
from seqzoo_fuxi_linear.config import FuxiLinearConfig
from seqzoo_fuxi_linear.sums import positional, retention, temporal
from seqzoo_fuxi_linear.times import Clock, read_parts, turned

__all__ = ["Channels", "FuxiLayer", "LayerState"]

_EPS = 1e-6
_FREQUENCY_BASE = 10_000.0

LayerState = tuple[Tensor, Tensor, Tensor]
"""Sums over the events so far: retention [B, H, Q, W], temporal channel as pairs [B, G, D / G, 2],
positional channel [B, P, D]."""


class Channels(NamedTuple):
    """The outputs of the three channels and what gates them."""

    gate: Tensor
    """[..., 3D]"""
    retained: Tensor
    """[..., D]"""
    timed: Tensor
    """[..., D]"""
    positioned: Tensor
    """[..., D]"""


class FuxiLayer(nn.Module):
    """``MFFN(gate * [LN(retention) | LN(temporal) | LN(positional)], X)``.

    Norms have no weights, linear maps no biases.

    Attributes:
        retention_decay: the rate of a head is ``exp(-s)``, with s the sum of the softplus of its
            own and of all previous entries.
        time_gain, time_skip: weights of the temporal sum and of the newest event [G]; None without
            ``time_skip``.
        position_gain, position_skip: the same for the positional channel [1].
        position_vectors: one for each position.
    """

    def __init__(self, config: FuxiLinearConfig) -> None:
        super().__init__()
        width, groups = config.hidden_size, 2 * config.num_periods
        self.heads, self.groups, self.chunk = config.num_heads, groups, config.chunk_size
        keys = config.num_heads * config.query_size
        self.sizes = [3 * width, keys, keys, width]
        self.uqkv = nn.Linear(width, sum(self.sizes), bias=False)
        self.retention_decay = nn.Parameter(torch.empty(config.num_heads))
        self.time_proj = nn.Linear(width, width, bias=False)
        self.time_gain: nn.Parameter | None = None
        self.time_skip: nn.Parameter | None = None
        if config.time_skip:
            self.time_gain = nn.Parameter(torch.empty(groups))
            self.time_skip = nn.Parameter(torch.ones(groups))
            nn.init.normal_(self.time_gain, 0.0, INITIAL_STD)
        self.position_proj = nn.Linear(width, width, bias=False)
        self.position_gain = nn.Parameter(torch.empty(1))
        self.position_skip = nn.Parameter(torch.ones(1))
        self.position_vectors = nn.Parameter(_waves(config.positions, config.position_size))
        self.mix = nn.Linear(3 * width, width, bias=False)
        inner = config.ffn_expand * width
        self.ffn_gate = nn.Linear(width, inner, bias=False)
        self.ffn_value = nn.Linear(width, inner, bias=False)
        self.ffn_out = nn.Linear(inner, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        for values in (self.retention_decay, self.position_gain):
            nn.init.normal_(values, 0.0, INITIAL_STD)
        for linear in (self.uqkv, self.mix, self.ffn_gate, self.ffn_value, self.ffn_out):
            nn.init.normal_(linear.weight, 0.0, INITIAL_STD)

    def forward(self, hidden: Tensor, clock: Clock) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        normal = _norm(hidden)
        gate, *rest = torch.split(functional.silu(self.uqkv(normal)), self.sizes, dim=-1)
        timed, positioned = self.time_proj(normal), self.position_proj(normal)
        with without_autocast(hidden.device):
            query, key, value = (self._heads(each) for each in rest)
            retained = retention(query, key, value, self._rates(), self.chunk).flatten(-2)
            groups = self._groups(timed)
            by_time = self._weigh_time(temporal(clock, groups), groups)
            own = widened(positioned)
            vectors = self._vectors()[: hidden.shape[1]]
            by_position = self._weigh_position(positional(vectors, own, self.chunk), own)
        return self.finish(hidden, Channels(gate, retained, by_time, by_position))

    def last(self, hidden: Tensor, batch: SequenceBatch, weights: Tensor) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        Temporal and positional sums are linear in the normalised events, so that the projections
        are applied to the sums.

        Args:
            hidden: all positions.
            batch: the histories.
            weights: the weights of the events in the temporal sums [B, G, L], zero in the padding.
        """
        newest, normal = batch.gather_last(hidden), _norm(hidden)
        own = _norm(newest)
        gate, query, _, _ = torch.split(functional.silu(self.uqkv(own)), self.sizes, dim=-1)
        others = self.uqkv.weight[-sum(self.sizes[2:]) :]
        key, value = torch.split(
            functional.silu(functional.linear(normal, others)), self.sizes[2:], dim=-1
        )
        timed, positioned = self.time_proj(own), self.position_proj(own)
        with without_autocast(hidden.device):
            query, key, value = (self._heads(each) for each in (query, key, value))
            normal, mask = widened(normal), batch.mask
            scores = torch.einsum("bhq,blhq->bhl", query, key)
            position = torch.arange(hidden.shape[1], device=hidden.device)
            age = (batch.lengths[:, None] - position).clamp(min=1)
            kept = (-self._rates()[:, None] * age[:, None]).exp()
            scores = (scores * kept).masked_fill(~mask[:, None], 0.0)
            retained = torch.einsum("bhl,blhw->bhw", scores, value).flatten(-2)

            maps = torch.unflatten(widened(self.time_proj.weight), 0, (self.groups, -1))
            sums = torch.einsum("bgd,gwd->bgw", weights @ normal, maps)
            groups = self._groups(timed)
            by_time = self._weigh_time(sums, groups)

            vectors = self._vectors()[: hidden.shape[1]]
            near = (vectors[batch.lengths - 1] @ vectors.T).masked_fill(~mask, 0.0)
            total = (near[:, None] @ normal)[:, 0] @ widened(self.position_proj.weight).T
            by_position = self._weigh_position(total, widened(positioned))
        return self.finish(newest, Channels(gate, retained, by_time, by_position))

    def initial_state(self, batch_size: int) -> LayerState:
        """All sums zero."""
        width = self.time_proj.in_features
        zeros = widened(self.retention_decay).new_zeros
        return (
            zeros(batch_size, self.heads, self.sizes[1] // self.heads, width // self.heads),
            zeros(batch_size, self.groups, width // self.groups, 2),
            zeros(batch_size, self.position_vectors.shape[1], width),
        )

    def absorb(
        self, hidden: Tensor, state: LayerState, row: Tensor, since: Tensor, until: Tensor
    ) -> tuple[Channels, LayerState]:
        """One more event of each user: the channels' outputs, and the sums with the event.

        Args:
            hidden: the event [B, D].
            state: the sums before it, at the time of the previous event.
            row: its position [B].
            since: what the seconds since the previous event leave [B, G / 2, 2].
            until: what the seconds until the request leave.
        """
        normal = _norm(hidden)
        gate, *rest = torch.split(functional.silu(self.uqkv(normal)), self.sizes, dim=-1)
        query, key, value = (self._heads(each) for each in rest)
        retained, timed, positioned = state
        left = (-self._rates()).exp()[:, None, None]
        retained = left * retained + key[..., None] * value[..., None, :]
        groups = self._groups(self.time_proj(normal))
        timed = turned(timed, since) + functional.pad(groups[..., None], (0, 1))
        own, vector = widened(self.position_proj(normal)), self._vectors()[row]
        positioned = positioned + vector[..., None] * own[:, None]
        channels = Channels(
            gate,
            (query[:, :, None] @ (left * retained)).flatten(1),
            self._weigh_time(read_parts(turned(timed, until)), groups),
            self._weigh_position((vector[:, None] @ positioned)[:, 0], own),
        )
        return channels, (retained, timed, positioned)

    def finish(self, hidden: Tensor, channels: Channels) -> Tensor:
        """Gate, projection, residual and feed-forward layer: [..., D] -> [..., D]."""
        outputs = torch.cat([_norm(each) for each in channels[1:]], dim=-1)
        mixed = self.mix(self.dropout(channels.gate * outputs.to(channels.gate.dtype)))
        hidden = mixed + hidden
        inner = self.dropout(functional.rms_norm(hidden, hidden.shape[-1:], eps=_EPS))
        inner = functional.silu(self.ffn_gate(inner)) * self.ffn_value(inner)
        return self.ffn_out(inner) + hidden  # type: ignore[no-any-return]

    def _rates(self) -> Tensor:
        """The decay of each head's retention with every event [H]: positive, and decreasing."""
        return (-functional.softplus(widened(self.retention_decay)).cumsum(0)).exp()

    def _heads(self, values: Tensor) -> Tensor:
        """[..., H Q] -> [..., H, Q]."""
        return torch.unflatten(widened(values), -1, (self.heads, -1))

    def _groups(self, values: Tensor) -> Tensor:
        """[..., D] -> [..., G, D / G]."""
        return torch.unflatten(widened(values), -1, (self.groups, -1))

    def _vectors(self) -> Tensor:
        """Position vectors whose products are the published ones, divided by P / 2: [N, P]."""
        scale: float = (2.0 / self.position_vectors.shape[1]) ** 0.5
        return scale * widened(self.position_vectors)

    def _weigh_time(self, sums: Tensor, own: Tensor) -> Tensor:
        """[..., G, D / G] -> [..., D]."""
        if self.time_gain is not None and self.time_skip is not None:
            sums = self.time_gain[:, None] * sums + self.time_skip[:, None] * own
        return sums.flatten(-2)

    def _weigh_position(self, sums: Tensor, own: Tensor) -> Tensor:
        return self.position_gain * sums + self.position_skip * own


def _norm(values: Tensor) -> Tensor:
    """LayerNorm without weights over the last dimension."""
    return functional.layer_norm(values, values.shape[-1:], eps=_EPS)


def _waves(rows: int, width: int) -> Tensor:
    """Sines and cosines of the position at growing wavelengths: [rows, width]."""
    frequency = _FREQUENCY_BASE ** (-torch.arange(width // 2) / (width // 2))
    angle = torch.arange(rows)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
