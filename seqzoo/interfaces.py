"""What the parts of a model promise each other: embedder, backbone and head.

Shapes in brackets: B histories in a batch, L positions, D hidden width, V items. Item index 0 is
padding, histories are padded on the right, so position ``lengths[b] - 1`` is the newest event.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

State: TypeAlias = Any
"""What a streaming part carries between events: tensors in tuples, lists or dicts, batch first.

They are on the device of the weights; a session saves them."""


@dataclass(frozen=True)
class SequenceBatch:
    """A batch of histories, padded on the right.

    Attributes:
        items: item indices [B, L], int64, 0 where padded.
        lengths: number of real events of each history [B], int64, at least 1.
        timestamps: unix seconds [B, L], int64, or None where the data have no times.
    """

    items: Tensor
    lengths: Tensor
    timestamps: Tensor | None = None

    @classmethod
    def from_histories(
        cls, histories: Sequence[Sequence[int]], timestamps: Sequence[Sequence[int]] | None = None
    ) -> "SequenceBatch":
        """Pad lists of item indices (and of times) on the right."""
        lengths = torch.tensor([len(history) for history in histories], dtype=torch.int64)
        width = int(lengths.max())

        def pad(rows: Sequence[Sequence[int]]) -> Tensor:
            return torch.tensor(
                [list(row) + [0] * (width - len(row)) for row in rows], dtype=torch.int64
            )

        return cls(pad(histories), lengths, None if timestamps is None else pad(timestamps))

    @property
    def mask(self) -> Tensor:
        """True at real events [B, L]."""
        positions = torch.arange(self.items.shape[1], device=self.items.device)
        return positions < self.lengths[:, None]

    def gather_last(self, values: Tensor) -> Tensor:
        """The rows of ``values`` [B, L, ...] at the newest event of each history [B, ...]."""
        return values[torch.arange(len(self.lengths), device=values.device), self.lengths - 1]

    def to(self, device: torch.device | str) -> "SequenceBatch":
        """The same batch on another device."""
        timestamps = None if self.timestamps is None else self.timestamps.to(device)
        return replace(
            self,
            items=self.items.to(device),
            lengths=self.lengths.to(device),
            timestamps=timestamps,
        )


class Embedder(nn.Module, ABC):
    """Turns item indices into vectors: ``SequenceBatch -> [B, L, D]``.

    ``item_table`` [V + 1, D] holds one row for each item and row 0 for padding; heads may tie their
    output to it.
    """

    item_table: nn.Parameter
    max_length: int | None = None
    """The longest history that can be embedded, or None for any."""

    @abstractmethod
    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed every position of a batch: [B, L, D]."""

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user [B] -> [B, D], for streaming.

        Raises:
            NotImplementedError: this embedder cannot stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")


class Backbone(nn.Module, ABC):
    """Mixes the positions of a history: ``[B, L, D] -> [B, L, D]``.

    The four claims say how it may be used; ``seqzoo.testing`` checks them. A class states them for
    its default configuration and an instance may narrow them.
    """

    causal: bool = True
    """Position t depends on positions up to t alone, so every position can be a training target."""
    streaming: bool = False
    """``initial_state`` and ``step`` exist and give what the whole sequence gives."""
    uses_time: bool = False
    """The result depends on ``batch.timestamps``."""
    max_length: int | None = None
    """The longest history the weights can take, or None for any."""

    @abstractmethod
    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Every position: [B, L, D] -> [B, L, D]."""

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        Equal to the gather of ``forward``; override it where less work is enough.
        """
        return batch.gather_last(self(hidden, batch))

    def initial_state(self, batch_size: int) -> State:
        """The state before the first event of ``batch_size`` users.

        Raises:
            NotImplementedError: this backbone cannot stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no initial_state()")

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D], state, seconds since the event before [B] -> [B, D].

        Raises:
            NotImplementedError: this backbone cannot stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")


class Head(nn.Module, ABC):
    """Scores the catalogue: ``[..., D] -> [..., V + 1]``, and holds the loss it is trained with."""

    @abstractmethod
    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of all items [..., V + 1]; column 0 is padding, which is never recommended."""

    @abstractmethod
    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of predicting ``targets`` [M] (indices 1..V) from ``hidden`` [M, D]: scalar."""

    def topk(
        self,
        hidden: Tensor,
        k: int,
        exclude: tuple[Tensor, Tensor] | None = None,
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The best ``k`` items of each row.

        Args:
            hidden: user vectors [B, D].
            k: how many.
            exclude: pairs (row, item) that must not come back, as two index tensors [E], [E].
            candidates: item indices to choose from [C]; all items where None.

        Returns:
            Scores and item indices, both [B, k], best first. A place that no allowed item is left
            for has the score ``-inf``.
        """
        scores = self(hidden)
        scores[..., 0] = -torch.inf
        if exclude is not None:
            scores[exclude] = -torch.inf
        if candidates is not None:
            scores, indices = scores[:, candidates].topk(min(k, len(candidates)), dim=-1)
            return scores, candidates[indices]
        best = scores.topk(k, dim=-1)
        return best.values, best.indices
