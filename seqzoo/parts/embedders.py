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
]


class ItemEmbedder(Embedder):
    """The item vector of each event, with dropout and LayerNorm in either order.

    Mamba4Rec has dropout before LayerNorm (arXiv 2403.03900, section 3.1).
    """

    takes_mask = True

    def __init__(self, config: ItemEmbedderConfig, num_items: int) -> None:
        super().__init__()
        # Parameters before values are drawn: loading leaves that out for parameters.
        self.item_table = nn.Parameter(torch.empty(num_items + 1, config.hidden_size))
        if config.initialisation == "xavier":
            nn.init.xavier_normal_(self.item_table)
        else:
            nn.init.normal_(self.item_table, 0.0, INITIAL_STD)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_order = config.embedding_norm
        if config.embedding_norm != "none":
            self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed all positions: [B, L, D]."""
        return self._finish(self.look_up(batch.items))

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D]; there is no state."""
        return self._finish(self.look_up(items)), state

    def _finish(self, vectors: Tensor) -> Tensor:
        if self.norm_order == "before-dropout":
            return self.dropout(self.norm(vectors))  # type: ignore[no-any-return]
        vectors = self.dropout(vectors)
        return vectors if self.norm_order == "none" else self.norm(vectors)


class ItemPositionEmbedder(ItemEmbedder):
    """Item vectors plus learned absolute positions, counted from the oldest event that is read.

    RecBole's SASRec, on which most published results rest, has LayerNorm before dropout.
    """

    def __init__(self, config: ItemPositionEmbedderConfig, num_items: int) -> None:
        super().__init__(config, num_items)
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
        return self._finish(vectors + self.position_table[:length])

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D].

        The state is the number of events so far, the same for all users of a batch.

        Raises:
            ConfigError: the session already has ``max_length`` events.
        """
        position = 0 if state is None else int(state)
        if position >= len(self.position_table):
            raise ConfigError(
                f"event {position + 1} of a session is beyond max_length = "
                f"{len(self.position_table)}, the number of learned positions"
            )
        vectors = self.look_up(items)
        return self._finish(vectors + self.position_table[position]), position + 1
