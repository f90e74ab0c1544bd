"""Heads that score with the embedder's item table, by dot product or by cosine."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.config import structure
from seqzoo.interfaces import Embedder, Head
from seqzoo.parts.config import CosineSoftmaxConfig, TiedSoftmaxConfig
from seqzoo.parts.losses import Loss
from seqzoo.plugins import catalogue

__all__ = [
    "CosineSoftmaxHead",
    "TiedHead",
    "TiedSoftmaxHead",
    "make_loss",
]


def make_loss(name: str, options: dict[str, Any]) -> Loss:
    """A registered loss with its settings.

    Raises:
        UnknownNameError: no loss has this name.
        ConfigError: an option is unknown, has the wrong type or an invalid value.
    """
    spec = catalogue().losses.get(name)
    loss: Loss = spec.load()(structure(spec.load_config(), options, "model.loss_options"))
    return loss


class TiedHead(Head):
    """A head that scores with the embedder's item table.

    The table remains the embedder's parameter. The embedder is kept in a tuple, which ``nn.Module``
    does not search for submodules, so the table is neither saved nor counted twice.
    """

    def __init__(self, loss: Loss, embedder: Embedder) -> None:
        super().__init__()
        self._loss = loss
        self._embedder = (embedder,)

    @property
    def table(self) -> Tensor:
        """The embedder's item table [V + 1, D]."""
        return self._embedder[0].item_table

    @abstractmethod
    def operands(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """User vectors [..., E] and item vectors [V + 1, E]; their dot products are the scores."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of all items [..., V + 1]."""
        users, items = self.operands(hidden)
        return users @ items.T

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of predicting ``targets`` [M] from ``hidden`` [M, D]: a scalar."""
        users, items = self.operands(hidden)
        return self._loss(users, items, targets)


class TiedSoftmaxHead(TiedHead):
    """Scores ``hidden . item``, plus a bias per item if ``output_bias`` is set."""

    def __init__(self, config: TiedSoftmaxConfig, embedder: Embedder) -> None:
        super().__init__(make_loss(config.loss, config.loss_options), embedder)
        rows = len(embedder.item_table)
        self.bias = nn.Parameter(torch.zeros(rows)) if config.output_bias else None

    def operands(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors unchanged; a bias becomes one more column, with ones for the users."""
        if self.bias is None:
            return hidden, self.table
        ones = hidden.new_ones(*hidden.shape[:-1], 1)
        users = torch.cat([hidden, ones], dim=-1)
        return users, torch.cat([self.table, self.bias[:, None]], dim=-1)


class CosineSoftmaxHead(TiedHead):
    """Scores ``cos(hidden, item) / temperature``, optionally after a linear layer."""

    def __init__(self, config: CosineSoftmaxConfig, embedder: Embedder) -> None:
        super().__init__(make_loss(config.loss, config.loss_options), embedder)
        self.temperature = config.temperature
        width = embedder.item_table.shape[1]
        self.projection = nn.Linear(width, width) if config.projection else nn.Identity()

    def operands(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of length one; those of the users are divided by the temperature."""
        users = functional.normalize(self.projection(hidden), dim=-1) / self.temperature
        return users, functional.normalize(self.table, dim=-1)
