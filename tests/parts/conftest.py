from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from seqzoo.interfaces import Embedder
from seqzoo.parts.config import ItemEmbedderConfig
from seqzoo.parts.embedders import ItemEmbedder
from seqzoo.plugins import catalogue

ITEMS, WIDTH = 9, 6


@pytest.fixture
def embedder() -> Embedder:
    torch.manual_seed(0)
    made = ItemEmbedder(ItemEmbedderConfig(hidden_size=WIDTH), ITEMS).double()
    with torch.no_grad():
        made.item_table.normal_()
    return made


@pytest.fixture
def head(embedder: Embedder) -> Callable[..., nn.Module]:
    """``head("cosine-softmax", temperature=0.1)`` over the embedder's nine items."""

    def make(name: str = "tied-softmax", **settings: object) -> nn.Module:
        spec = catalogue().heads.get(name)
        made = spec.load()(spec.load_config()(**settings), embedder)
        return made.double()

    return make


@pytest.fixture
def loss() -> Callable[..., Callable[..., Tensor]]:
    """``loss("bce", negatives=3)`` by its registered name."""

    def make(name: str, **settings: object) -> Callable[..., Tensor]:
        spec = catalogue().losses.get(name)
        return spec.load()(spec.load_config()(**settings))

    return make
