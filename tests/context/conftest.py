"""A model that reads query times, features and users, registered for the time of a test."""

import sys
import types
from dataclasses import dataclass, field

import polars as pl
import pytest
import torch
from torch import nn

import seqzoo
from seqzoo.interfaces import Backbone, Embedder
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec, BackboneSpec, PartSpec


@dataclass
class RatedConfig:
    hidden_size: int = 16
    columns: list[str] = field(default_factory=lambda: ["rating", "device"])
    by_user: bool = True


class Rated(Embedder):
    """The item's vector, plus one for each code, plus a multiple for each number."""

    takes_mask = True

    def __init__(self, config, num_items):
        super().__init__()
        self.item_table = nn.Parameter(0.1 * torch.randn(num_items + 1, config.hidden_size))
        self.uses_features = tuple(config.columns)
        self.uses_users = config.by_user
        if self.uses_users:
            self.user_table = nn.Parameter(0.1 * torch.randn(64, config.hidden_size))

    def set_features(self, sizes):
        width = self.item_table.shape[1]
        self.codes = nn.ModuleDict(
            {name: nn.Embedding(size, width) for name, size in sizes.items() if size is not None}
        )
        self.factors = nn.ParameterDict(
            {name: torch.randn(width) for name, size in sizes.items() if size is None}
        )

    def forward(self, batch):
        hidden = self.look_up(batch.items)
        for name in self.uses_features:
            values = batch.features[name]
            if name in self.codes:
                hidden = hidden + self.codes[name](values)
            else:
                hidden = hidden + values[..., None] * self.factors[name]
        if self.uses_users:
            hidden = hidden + self.user_table[batch.users % 64][:, None]
        return hidden


@dataclass
class WaitsConfig:
    hidden_size: int = 16


class Waits(Backbone):
    """Sums the history, and adds how long the request of each position comes after its event."""

    causal = True
    streaming = True
    uses_time = True
    uses_query_time = True

    def __init__(self, config):
        super().__init__()
        self.mix = nn.Linear(config.hidden_size + 1, config.hidden_size)

    def forward(self, hidden, batch):
        waits = (batch.query_times - batch.timestamps).clamp(min=0).float().log1p()
        return self.mix(torch.cat([hidden.cumsum(1), waits[..., None]], -1))


@pytest.fixture
def register(monkeypatch):
    """``register(embedder, backbone)``: the architecture ``contextual``."""

    def register(embedder=Rated, backbone=Waits):
        module = types.ModuleType("contextual")
        module.Embedder, module.EmbedderConfig = embedder, RatedConfig
        module.Backbone, module.BackboneConfig = backbone, WaitsConfig
        monkeypatch.setitem(sys.modules, "contextual", module)
        everything = catalogue()
        claims = {
            name: getattr(backbone, name)
            for name in ("causal", "streaming", "uses_time", "uses_query_time")
        }
        backbone_spec = BackboneSpec(
            "waits", "tests", "contextual:Backbone", "contextual:BackboneConfig", **claims
        )
        embedder_spec = PartSpec(
            "rated", "tests", "contextual:Embedder", "contextual:EmbedderConfig"
        )
        spec = ArchitectureSpec("contextual", "tests", "rated", "waits", "tied-softmax")
        monkeypatch.setitem(everything.embedders._specs, "rated", embedder_spec)
        monkeypatch.setitem(everything.backbones._specs, "waits", backbone_spec)
        monkeypatch.setitem(everything.architectures._specs, "contextual", spec)
        return "contextual"

    return register


DEVICES = ["phone", "web", "tv"]


def frame(users=20, events=10):
    rows = [
        (
            f"u{u}",
            f"i{(u + t) % 12}",
            1_000_000 + 100 * t + t * t,
            1 + (u + t) % 5,
            DEVICES[(u * t) % 3],
        )
        for u in range(users)
        for t in range(events)
    ]
    return pl.DataFrame(
        rows, schema=["user", "item", "timestamp", "rating", "device"], orient="row"
    )


def recipe(**train):
    return {
        "architecture": "contextual",
        "data": {"features": ["rating", "device"], "min_count": 1},
        "train": {"epochs": 2, **train},
    }


@pytest.fixture
def trained(register, tmp_path):
    register()
    seqzoo.train(recipe(), tmp_path / "run", data=frame())
    return seqzoo.load(tmp_path / "run")
