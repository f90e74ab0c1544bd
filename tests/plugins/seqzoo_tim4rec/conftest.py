"""The equations of the paper and the released code, in float64 and one position at a time.

Independent of the implementation: nothing of the plugin or of `seqzoo.ops` is used.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]


def silu(values: Tensor) -> Tensor:
    return values / (1.0 + torch.exp(-values))


def hardswish(values: Tensor) -> Tensor:
    return values * (values + 3.0).clamp(0.0, 6.0) / 6.0


def sigmoid(values: Tensor) -> Tensor:
    return 1.0 / (1.0 + torch.exp(-values))


def norm(values: Tensor, p: Parameters, prefix: str, eps: float) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + eps) * p[prefix + "weight"] + p[prefix + "bias"]


def linear(values: Tensor, p: Parameters, prefix: str) -> Tensor:
    return values @ p[prefix + "weight"].T + p[prefix + "bias"]


def convolution(values: Tensor, p: Parameters, prefix: str) -> Tensor:
    """Causal depthwise convolution: [B, L, C] -> [B, L, C]."""
    taps = p[prefix + "weight"].shape[-1]
    outputs = []
    for t in range(values.shape[1]):
        total = p[prefix + "bias"].expand(len(values), -1)
        for tap in range(taps):
            earlier = t - (taps - 1) + tap
            if earlier >= 0:
                total = total + p[prefix + "weight"][:, 0, tap] * values[:, earlier]
        outputs.append(total)
    return torch.stack(outputs, dim=1)


@dataclass
class Equations:
    """A model's settings, and its results from its parameters."""

    layers: int
    mode: str = "off"
    length: int = 20
    states: int = 5
    heads: int = 4
    eps: float = 1e-12
    act: Callable[[Tensor], Tensor] = hardswish
    drop: Callable[[Tensor], Tensor] = lambda values: values

    def model(self, batch: SequenceBatch, p: Parameters) -> Tensor:
        """All positions: [B, L, D]."""
        items, times = batch.items, batch.timestamps
        if self.mode == "reference":
            # As released: everything is padded to the longest history that there may be.
            missing = self.length - items.shape[1]
            items = nn.functional.pad(items, (0, missing))
        embedded = self.drop(p["embedder.item_table"][items])
        hidden = norm(embedded, p, "embedder.norm.", self.eps)
        seconds = [[0] * batch.items.shape[1]] * len(items) if times is None else times.tolist()
        tau = {
            "off": lambda *_: None,
            "causal": self.causal_start,
            "reference": self.reference_start,
        }[self.mode](seconds, batch.lengths.tolist(), p)
        for i in range(self.layers):
            layer = f"backbone.ssd_layers.{i}."
            top = i + 1 == self.layers
            modulation = None
            if self.mode == "causal":
                modulation, tau = self.causal_branch(tau, p, layer + "ssd.", top)
            if self.mode == "reference":
                modulation, tau = self.reference_branch(tau, p, layer + "ssd.", top)
            mixed = self.drop(self.block(hidden, p, layer + "ssd.", modulation))
            if self.layers > 1:
                mixed = mixed + hidden
            y = norm(mixed, p, layer + "layer_norm.", self.eps)
            inner = self.drop(hardswish(linear(y, p, layer + "ffn.fc1.")))
            outer = self.drop(linear(inner, p, layer + "ffn.fc2."))
            hidden = norm(outer + y, p, layer + "ffn.layer_norm.", 1e-12)
        return hidden[:, : batch.items.shape[1]]

    def block(
        self, hidden: Tensor, p: Parameters, prefix: str, modulation: Tensor | None
    ) -> Tensor:
        """The SSD block: [B, L, D], [B, L, H] -> [B, L, D]."""
        heads, states = self.heads, self.states
        inner = p[prefix + "norm.weight"].shape[0]
        width = inner // heads
        projected = linear(hidden, p, prefix + "in_proj.")
        z, mixed, dt = (
            projected[..., :inner],
            projected[..., inner : 2 * inner + 2 * states],
            projected[..., 2 * inner + 2 * states :],
        )
        mixed = self.act(convolution(mixed, p, prefix + "conv1d."))
        if modulation is not None:
            dt = dt * modulation
        dt = torch.log1p(torch.exp(dt + p[prefix + "dt_bias"]))
        rates = -torch.exp(p[prefix + "A_log"])
        state = torch.zeros(len(hidden), heads, width, states, dtype=hidden.dtype)
        outputs = []
        for t in range(hidden.shape[1]):
            x = mixed[:, t, :inner].reshape(-1, heads, width)
            write = mixed[:, t, inner : inner + states]
            read = mixed[:, t, inner + states :]
            kept = torch.exp(dt[:, t] * rates)[:, :, None, None]
            added = dt[:, t, :, None, None] * x[..., None] * write[:, None, None, :]
            state = kept * state + added
            y = (state * read[:, None, None, :]).sum(-1) + p[prefix + "D"][:, None] * x
            y = y.reshape(-1, inner) * silu(z[:, t])
            y = y / torch.sqrt((y**2).mean(-1, keepdim=True) + self.eps) * p[prefix + "norm.weight"]
            outputs.append(linear(y, p, prefix + "out_proj."))
        return torch.stack(outputs, dim=1)

    def reference_start(
        self, seconds: list[list[int]], lengths: list[int], p: Parameters
    ) -> Tensor:
        """Raw differences of rows padded with 0, and the LayerNorm over them."""
        rows = []
        for row, length in zip(seconds, lengths, strict=True):
            padded = row[:length] + [0] * (self.length - length)
            rows.append([0] + [padded[t] - padded[t - 1] for t in range(1, self.length)])
        differences = torch.tensor(rows, dtype=torch.float32).double()
        tau = norm(self.drop(differences), p, "backbone.layer_norm_time.", self.eps)
        return torch.stack([tau] * self.heads, dim=1)

    def reference_branch(
        self, tau: Tensor, p: Parameters, prefix: str, top: bool
    ) -> tuple[Tensor, Tensor]:
        """[B, H, L] -> modulation [B, L, H] and the next layer's [B, H, L]."""
        inner = silu(linear(self.drop(tau), p, prefix + "mlp4time_scale.1."))
        r = (tau * linear(inner, p, prefix + "mlp4time_scale.3.")).transpose(1, 2)
        for name in ("conv1d4time_1.", "conv1d4time_2."):
            r = self.act(convolution(r, p, prefix + name))
        if top:
            return r, tau
        gate = sigmoid(linear(self.drop(tau), p, prefix + "time_gate_residual.1."))
        passed = gate * tau + (1.0 - gate) * r.transpose(1, 2)
        return r, norm(passed, p, prefix + "time_layer_norm.", self.eps)

    def causal_start(self, seconds: list[list[int]], lengths: list[int], p: Parameters) -> Tensor:
        """Ours: log1p of the gap in minutes, standardised by the default constants."""
        rows = []
        for row in seconds:
            since = [0] + [max(row[t] - row[t - 1], 0) for t in range(1, len(row))]
            rows.append([(math.log1p(gap / 60.0) - 0.42) / 1.31 for gap in since])
        self.gap = torch.tensor(rows, dtype=torch.float64)[..., None]
        return torch.cat([self.gap] * self.heads, dim=-1)

    def causal_branch(
        self, tau: Tensor, p: Parameters, prefix: str, top: bool
    ) -> tuple[Tensor, Tensor]:
        """[B, L, H] -> modulation and the next layer's, both [B, L, H]."""
        inner = silu(linear(self.drop(self.gap), p, prefix + "mlp4time_scale.1."))
        r = tau * linear(inner, p, prefix + "mlp4time_scale.3.")
        for name in ("conv1d4time_1.", "conv1d4time_2."):
            r = self.act(convolution(r, p, prefix + name))
        if top:
            return r, tau
        gate = sigmoid(linear(self.drop(tau), p, prefix + "time_gate_residual.1."))
        return r, gate * tau + (1.0 - gate) * r


@pytest.fixture
def equations() -> type[Equations]:
    return Equations


@pytest.fixture
def small(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """``small("reference", num_layers=1)``: width 16, 4 heads of 8 channels, 5 states."""

    def small(mode: str, seed: int = 0, **settings: object) -> nn.Module:
        architecture = "ssd4rec" if mode == "off" else "tim4rec"
        if mode == "off":
            settings.pop("p2p_residual", None)
        sizes = {"head_size": 8, "state_size": 5, "chunk_size": 8, "time_mode": mode}
        return make(architecture, seed, **{**sizes, **settings})

    return small
