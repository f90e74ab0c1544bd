"""TiSASRec in its direct form, in float64, and random histories.

Independent of the implementation: nothing of the plugin is used.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]


def norm(values: Tensor, p: Parameters, prefix: str) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-8) * p[prefix + "weight"] + p[prefix + "bias"]


def linear(values: Tensor, p: Parameters, prefix: str) -> Tensor:
    return values @ p[prefix + "weight"].T + p[prefix + "bias"]


def scaled(seconds: list[int], scale: str, unit: int) -> list[int]:
    """Times of one history: Python's round, of exact quotients."""
    if scale == "user_min":
        gaps = [b - a for a, b in itertools.pairwise(seconds) if b > a]
        unit = min(gaps, default=1)
    return [round((second - seconds[0]) / unit) + 1 for second in seconds]


@dataclass
class Equations:
    """A model's settings, and its results from its parameters, with tensors [T, T, D] of pairs."""

    num_layers: int = 2
    num_heads: int = 1
    max_length: int = 20
    max_interval: int = 256
    scale: str = "unit"
    unit: int = 60
    position_order: str = "oldest"
    mask_padded_keys: bool = True
    drop: Callable[[Tensor], Tensor] = lambda values: values

    def model(self, batch: SequenceBatch, p: Parameters) -> list[Tensor]:
        """The vectors of the events of each history [n, D]."""
        table = p["embedder.item_table"]
        rows, width = len(batch.items), table.shape[1]
        hidden = math.sqrt(width) * self.drop(table[batch.items])
        times, positions = self.times_and_positions(batch)
        first = [0] * rows
        filled = batch.mask
        if not self.mask_padded_keys:
            first = [self.max_length - length for length in batch.lengths.tolist()]
            empty = [table.new_zeros(each, width) for each in first]
            events = [row[:n] for row, n in zip(hidden, batch.lengths.tolist(), strict=True)]
            hidden = torch.stack([torch.cat(pair) for pair in zip(empty, events, strict=True)])
            filled = torch.arange(self.max_length) >= torch.tensor(first)[:, None]
        # One look-up for each history; nothing is shared between histories.
        position_keys = self.drop(p["backbone.position_keys"][positions])
        position_values = self.drop(p["backbone.position_values"][positions])
        keys = self.drop(p["backbone.interval_keys"].repeat(rows, 1, 1))
        values = self.drop(p["backbone.interval_values"].repeat(rows, 1, 1))
        pairs = (times[:, :, None] - times[:, None, :]).abs().clamp(max=self.max_interval)
        interval_keys = torch.stack([own[r] for own, r in zip(keys, pairs, strict=True)])
        interval_values = torch.stack([own[r] for own, r in zip(values, pairs, strict=True)])
        for i in range(self.num_layers):
            layer = f"backbone.layers.{i}."
            normed = norm(hidden, p, layer + "attention_norm.")
            query = linear(normed, p, layer + "attention.query.")
            key = linear(hidden, p, layer + "attention.key.") + position_keys
            value = linear(hidden, p, layer + "attention.value.") + position_values
            mixed = self.attend(
                query, key[:, None] + interval_keys, value[:, None] + interval_values
            )
            y = norm(normed + mixed, p, layer + "norm.")
            inner = self.drop(torch.relu(linear(y, p, layer + "inner.")))
            hidden = y + self.drop(linear(inner, p, layer + "outer."))
            hidden = hidden * filled[..., None]
        hidden = norm(hidden, p, "backbone.norm.")
        return [
            row[start : start + length]
            for row, start, length in zip(hidden, first, batch.lengths.tolist(), strict=True)
        ]

    def attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """[B, T, D], [B, T, T, D], [B, T, T, D] -> [B, T, D]."""
        length, width = query.shape[1:]
        readable = torch.ones(length, length, dtype=torch.bool).tril()
        weights = []
        for part in torch.arange(width).chunk(self.num_heads):
            scores = (query[:, :, None, part] * keys[..., part]).sum(-1) / math.sqrt(len(part))
            scores = torch.where(readable, scores, -torch.inf)
            exponents = torch.exp(scores - scores.max(-1, keepdim=True).values)
            weights.append(exponents / exponents.sum(-1, keepdim=True))
        dropped = self.drop(torch.stack(weights, dim=1))
        mixed = [
            (dropped[:, head, ..., None] * values[..., part]).sum(2)
            for head, part in enumerate(torch.arange(width).chunk(self.num_heads))
        ]
        return torch.cat(mixed, dim=-1)

    def times_and_positions(self, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Times in units and numbers of positions, [B, T] each; 0 in the padding."""
        times, positions = [], []
        width = batch.items.shape[1]
        for row, length in enumerate(batch.lengths.tolist()):
            seconds = [0] * length
            if batch.timestamps is not None:
                seconds = batch.timestamps[row, :length].tolist()
            own, empty = scaled(seconds, self.scale, self.unit), self.max_length - length
            start = empty if self.position_order == "newest" else 0
            numbers = [start + t for t in range(length)]
            if self.mask_padded_keys:
                times.append(own + [0] * (width - length))
                positions.append(numbers + [0] * (width - length))
            else:
                times.append([0] * empty + own)
                positions.append(list(range(self.max_length)))
        return torch.tensor(times), torch.tensor(positions)


@pytest.fixture
def equations() -> type[Equations]:
    return Equations
