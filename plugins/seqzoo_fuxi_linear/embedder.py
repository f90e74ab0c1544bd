"""FuXi-Linear's embedder: scaled item vectors plus learned absolute positions."""

import math

import torch
from torch import Tensor, nn

from seqzoo.errors import ConfigError
from seqzoo.interfaces import Embedder, SequenceBatch, State
from seqzoo.parts.layers import INITIAL_STD
from seqzoo_fuxi_linear.config import FuxiEmbedderConfig


class FuxiEmbedder(Embedder):
    """``Dropout(sqrt(D) E[item] + P[position])``; positions count from the oldest event read."""

    takes_mask = True

    def __init__(self, config: FuxiEmbedderConfig, num_items: int) -> None:
        super().__init__()
        width, rows = config.hidden_size, config.max_length + config.spare_positions
        self.max_length = config.max_length
        self.scale = math.sqrt(width)
        self.item_table = nn.Parameter(torch.empty(num_items + 1, width))
        self.position_table = nn.Parameter(torch.empty(rows, width))
        self.dropout = nn.Dropout(config.dropout)
        bound = 2.0 * INITIAL_STD
        nn.init.trunc_normal_(self.item_table, 0.0, INITIAL_STD, a=-bound, b=bound)
        nn.init.xavier_normal_(self.position_table)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed all positions: [B, L, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        length = batch.items.shape[1]
        check_length(length, self.max_length)
        vectors = self.scale * self.look_up(batch.items) + self.position_table[:length]
        return self.dropout(vectors)  # type: ignore[no-any-return]

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user: [B] -> [B, D].

        The state is the number of events so far, the same for all users of a batch.

        Raises:
            ConfigError: the session already has ``max_length`` events.
        """
        position = 0 if state is None else state
        check_length(position + 1, self.max_length)
        vectors = self.scale * self.look_up(items) + self.position_table[position]
        return self.dropout(vectors), position + 1


def check_length(length: int, longest: int | None) -> None:
    """Refuse histories that are longer than the tables of positions.

    Raises:
        ConfigError: names both lengths.
    """
    if longest is not None and length > longest:
        raise ConfigError(
            f"a history of {length} events is longer than max_length = {longest}, the number of "
            "learned positions; keep only its newest events"
        )
