"""Embedders: of items, or of items and absolute positions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Embedder, SequenceBatch, State
from seqzoo.ops.step_operations import Recorded, Value
from seqzoo.parts.config import (
    ItemEmbedderConfig,
    ItemOrderedPositionEmbedderConfig,
    ItemPositionEmbedderConfig,
)
from seqzoo.parts.layers import INITIAL_STD, check_length, check_session_length

__all__ = [
    "ItemEmbedder",
    "ItemOrderedPositionEmbedder",
    "ItemPositionEmbedder",
    "NormalisedEmbedder",
    "PositionEmbedder",
    "initialise",
]


class NormalisedEmbedder(Embedder):
    """Rows of the item table, with dropout and LayerNorm in either order."""

    takes_mask = True

    def add_norm(self, config: ItemEmbedderConfig) -> None:
        """Make dropout and LayerNorm."""
        self.dropout = nn.Dropout(config.dropout)
        self.norm_order = config.embedding_norm
        if config.embedding_norm != "none":
            self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed all positions: [B, L, D]."""
        return self.finish(self.look_up(batch.items))

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D]; there is no state."""
        if isinstance(items, Recorded):
            return self._recorded(items), state
        return self.finish(self.look_up(items)), state

    def _recorded(self, items: Recorded) -> Value:
        """``step`` in a program that is being recorded: [B] -> [B, D]."""
        own = type(self)
        if own.look_up is not Embedder.look_up or own.finish is not NormalisedEmbedder.finish:
            raise NotImplementedError("a subclass embeds in another way")
        operations, order = items.operations, self.norm_order
        vectors = operations.embedding(items, (self, "item_table"))
        if order == "before-dropout":
            vectors = operations.norm(vectors, self.norm)
        vectors = operations.dropout(vectors, self.dropout)
        return operations.norm(vectors, self.norm) if order == "after-dropout" else vectors

    def finish(self, vectors: Tensor) -> Tensor:
        """Dropout and LayerNorm of vectors [..., D]."""
        if self.norm_order == "before-dropout":
            return self.dropout(self.norm(vectors))  # type: ignore[no-any-return]
        vectors = self.dropout(vectors)
        return vectors if self.norm_order == "none" else self.norm(vectors)


class PositionEmbedder(NormalisedEmbedder):
    """Adds learned absolute positions, counted from the oldest event that is read."""

    def add_positions(self, config: ItemEmbedderConfig) -> None:
        """Make the vectors of the positions."""
        self.position_table = nn.Parameter(torch.empty(config.max_length, config.hidden_size))
        nn.init.normal_(self.position_table, 0.0, INITIAL_STD)
        self.max_length = config.max_length

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed all positions: [B, L, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        check_length(batch.items.shape[1], self.max_length)
        return self.finish(self.item_vectors(batch.items) + self.position_vectors(batch))

    def item_vectors(self, items: Tensor) -> Tensor:
        """The vectors that positions are added to: [...] -> [..., D]."""
        return self.look_up(items)

    def position_vectors(self, batch: SequenceBatch) -> Tensor:
        """The vector of every position: [L, D], or [B, L, D] if histories differ."""
        return self.position_table[: batch.items.shape[1]]

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D].

        The state is the number of events so far, the same for all users of a batch.

        Raises:
            ConfigError: the session already has ``max_length`` events.
        """
        position = 0 if state is None else state
        check_session_length(position + 1, self.max_length)
        vectors = self.item_vectors(items) + self.position_table[position]
        return self.finish(vectors), position + 1


class ItemEmbedder(NormalisedEmbedder):
    """The item vector of each event, with dropout and LayerNorm in either order.

    Mamba4Rec has dropout before LayerNorm (arXiv 2403.03900, section 3.1).
    """

    def __init__(self, config: ItemEmbedderConfig, num_items: int) -> None:
        super().__init__()
        # Parameters before values are drawn: loading leaves that out for parameters.
        self.item_table = nn.Parameter(torch.empty(num_items + 1, config.hidden_size))
        initialise(self.item_table, config)
        self.add_norm(config)


class ItemPositionEmbedder(PositionEmbedder, ItemEmbedder):
    """Item vectors plus learned absolute positions, counted from the oldest event that is read.

    RecBole's SASRec, on which most published results rest, has LayerNorm before dropout.
    """

    def __init__(self, config: ItemPositionEmbedderConfig, num_items: int) -> None:
        super().__init__(config, num_items)
        self.add_positions(config)


class ItemOrderedPositionEmbedder(PositionEmbedder, ItemEmbedder):
    """Item vectors, scaled or not, plus learned positions from the oldest or the newest event.

    HSTU (arXiv 2402.17152) and RecTools' transformers embed events so. The initial positions are
    Xavier normal, as in both.
    """

    def __init__(self, config: ItemOrderedPositionEmbedderConfig, num_items: int) -> None:
        super().__init__(config, num_items)
        self.add_positions(config)
        nn.init.xavier_normal_(self.position_table)
        self.factor = math.sqrt(config.hidden_size) if config.scale_items else 1.0
        self.streaming = config.position_order == "oldest"

    def item_vectors(self, items: Tensor) -> Tensor:
        """The scaled vectors of items: [...] -> [..., D]."""
        return self.factor * self.look_up(items)

    def position_vectors(self, batch: SequenceBatch) -> Tensor:
        """The vector of every position: [L, D], or [B, L, D] if counted from the newest event."""
        if self.streaming:
            return super().position_vectors(batch)
        position = torch.arange(batch.items.shape[1], device=batch.items.device)
        return functional.embedding(
            (batch.lengths[:, None] - 1 - position).clamp(min=0), self.position_table
        )

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user, as ``PositionEmbedder`` does: [B] -> [B, D].

        Raises:
            NotImplementedError: positions are counted from the newest event, which moves them all.
        """
        if not self.streaming:
            raise NotImplementedError("position_order='newest' has no step()")
        return super().step(items, state)


def initialise(table: nn.Parameter, config: ItemEmbedderConfig) -> None:
    """Draw the vectors of items as the settings say."""
    if config.initialisation == "xavier":
        nn.init.xavier_normal_(table)
    else:
        nn.init.normal_(table, 0.0, INITIAL_STD)
