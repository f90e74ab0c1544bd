"""Heads that score with the embedder's item table, by dot product or by cosine."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Embedder, Head
from seqzoo.parts.config import CosineSoftmaxConfig, TiedSoftmaxConfig, check_loss
from seqzoo.parts.losses import Loss
from seqzoo.plugins import catalogue

__all__ = [
    "CosineSoftmaxHead",
    "TiedHead",
    "TiedSoftmaxHead",
    "make_loss",
]

_ALL = slice(None)
_BLOCK_SCORES = 2**19
"""Number of scores in a block for each thread."""
_FEWEST_ITEMS = 2**10
_MOST_ITEMS = 2**16
"""Number of items in a block, for any number of users."""


def make_loss(name: str, options: dict[str, Any]) -> Loss:
    """A registered loss with its settings.

    Raises:
        UnknownNameError: no loss has this name.
        ConfigError: an option is unknown, has the wrong type or an invalid value.
    """
    settings = check_loss(name, options)
    loss: Loss = catalogue().losses.get(name).load()(settings)
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
    def user_vectors(self, hidden: Tensor) -> Tensor:
        """User vectors [..., E], whose dot products with the item vectors are the scores."""

    @abstractmethod
    def item_vectors(self, table: Tensor, items: slice | Tensor) -> Tensor:
        """The vectors [n, E] of a range of the table's items, or [..., E] of indices [...]."""

    def rows(self, table: Tensor, items: slice | Tensor) -> Tensor:
        """Rows of the item table, with a sparse gradient if the embedder wants that."""
        if isinstance(items, Tensor) and self._embedder[0].sparse_gradients:
            return functional.embedding(items, table, sparse=True)
        return table[items]

    @property
    def samples_items(self) -> bool:
        """Whether the loss reads only the vectors of the targets and of some other items."""
        # A loss of a plugin need not say.
        return bool(getattr(self._loss, "samples_items", False))

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of all items [..., V + 1]."""
        return self.user_vectors(hidden) @ self.item_vectors(self.table, _ALL).T

    def score_blocks(
        self, hidden: Tensor, items: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Scores [B, n] of blocks of items that fit the processor's cache."""
        if type(self).forward is not TiedHead.forward:
            # A subclass that computes other scores.
            yield from super().score_blocks(hidden, items)
            return
        users = self.user_vectors(hidden)
        table = self.table
        count = len(table) if items is None else len(items)
        scores = _BLOCK_SCORES * torch.get_num_threads()
        size = min(_MOST_ITEMS, max(_FEWEST_ITEMS, scores // max(1, len(users))))
        for start in range(0, count, size):
            part = slice(start, start + size)
            yield start, users @ self.item_vectors(table, part if items is None else items[part]).T

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of predicting ``targets`` [M] from ``hidden`` [M, D]: a scalar."""
        table = self.table
        # Only the rows that the loss reads, unless it reads all.
        vectors: Any = (
            _Vectors(self, table) if self.samples_items else self.item_vectors(table, _ALL)
        )
        return self._loss(self.user_vectors(hidden), vectors, targets)


class _Vectors:
    """The item vectors, computed on demand."""

    def __init__(self, head: TiedHead, table: Tensor) -> None:
        self._head, self._table = head, table
        self.sparse = head._embedder[0].sparse_gradients
        self._every: Tensor | None = None

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, items: Tensor) -> Tensor:
        if self.sparse or items.numel() < len(self._table):
            return self._head.item_vectors(self._table, items)
        # Each item once, however often it is asked for.
        if self._every is None:
            self._every = self._head.item_vectors(self._table, _ALL)
        return functional.embedding(items, self._every)


class TiedSoftmaxHead(TiedHead):
    """Scores ``hidden . item``, plus a bias per item if ``output_bias`` is set."""

    def __init__(self, config: TiedSoftmaxConfig, embedder: Embedder) -> None:
        super().__init__(make_loss(config.loss, config.loss_options), embedder)
        rows = len(embedder.item_table)
        self.bias = nn.Parameter(torch.zeros(rows)) if config.output_bias else None

    def user_vectors(self, hidden: Tensor) -> Tensor:
        """The vectors unchanged; with a bias, one more column of ones."""
        if self.bias is None:
            return hidden
        return torch.cat([hidden, hidden.new_ones(*hidden.shape[:-1], 1)], dim=-1)

    def item_vectors(self, table: Tensor, items: slice | Tensor) -> Tensor:
        """The vectors unchanged; a bias becomes one more column."""
        if self.bias is None:
            return self.rows(table, items)
        return torch.cat([self.rows(table, items), self.bias[items].unsqueeze(-1)], dim=-1)


class CosineSoftmaxHead(TiedHead):
    """Scores ``cos(hidden, item) / temperature``, optionally after a linear layer."""

    def __init__(self, config: CosineSoftmaxConfig, embedder: Embedder) -> None:
        super().__init__(make_loss(config.loss, config.loss_options), embedder)
        self.temperature = config.temperature
        width = embedder.item_table.shape[1]
        self.projection = nn.Linear(width, width) if config.projection else nn.Identity()

    def user_vectors(self, hidden: Tensor) -> Tensor:
        """Vectors of length one, divided by the temperature."""
        return functional.normalize(self.projection(hidden), dim=-1) / self.temperature

    def item_vectors(self, table: Tensor, items: slice | Tensor) -> Tensor:
        """Vectors of length one."""
        return functional.normalize(self.rows(table, items), dim=-1)
