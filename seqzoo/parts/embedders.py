"""Embedders: of items, or of items and absolute positions."""

import torch
from torch import Tensor, nn

from seqzoo.errors import ConfigError
from seqzoo.interfaces import Embedder, SequenceBatch, State
from seqzoo.parts.config import ItemEmbedderConfig, ItemPositionEmbedderConfig
from seqzoo.parts.layers import INITIAL_STD

__all__ = [
    "ItemEmbedder",
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
        return self.finish(self.look_up(items)), state

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
        length = batch.items.shape[1]
        if length > len(self.position_table):
            raise ConfigError(
                f"a history of {length} events is longer than max_length = "
                f"{len(self.position_table)}; keep only its newest events"
            )
        vectors = self.look_up(batch.items)
        return self.finish(vectors + self.position_table[:length])

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D].

        The state is the number of events so far, the same for all users of a batch.

        Raises:
            ConfigError: the session already has ``max_length`` events.
        """
        position = 0 if state is None else state
        if position >= len(self.position_table):
            raise ConfigError(
                f"event {position + 1} of a session is beyond max_length = "
                f"{len(self.position_table)}, the number of learned positions"
            )
        vectors = self.look_up(items)
        return self.finish(vectors + self.position_table[position]), position + 1


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


def initialise(table: nn.Parameter, config: ItemEmbedderConfig) -> None:
    """Draw the vectors of items as the settings say."""
    if config.initialisation == "xavier":
        nn.init.xavier_normal_(table)
    else:
        nn.init.normal_(table, 0.0, INITIAL_STD)
