"""The interfaces between the parts of a model: embedder, backbone and head.

Shapes in brackets: B histories in a batch, L positions, D hidden width, V items. Item index 0 is
padding. Histories are padded on the right, so the newest event of history b is at position
``lengths[b] - 1``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.topk import Pairs, top_of_blocks

if TYPE_CHECKING:
    from seqzoo.data.item_table import ItemTable
    from seqzoo.data.sequences import Sequences
    from seqzoo.data.vocabulary import Vocabulary

__all__ = [
    "MASK",
    "Backbone",
    "Embedder",
    "Head",
    "SequenceBatch",
    "State",
]

State: TypeAlias = Any
"""What a streaming part keeps between events: tensors in tuples, lists or dicts.

The first dimension of every tensor is the batch, so that the state of single users can be taken
out. Tensors are on the device of the weights. Numbers, strings and None are also allowed.
A session saves the state, without pickle."""


MASK = -1
"""Index of a hidden event in ``SequenceBatch.items``; its vector is ``Embedder.mask_vector``.

It is not an item: no item table, vocabulary or list of candidates contains it."""


@dataclass(frozen=True)
class SequenceBatch:
    """A batch of histories, padded on the right.

    Attributes:
        items: item indices [B, L], int64, 0 where padded and ``MASK`` where an objective hides
            the item.
        lengths: number of real events of each history [B], int64, at least 1.
        timestamps: unix seconds [B, L], int64, 0 where padded; None if the data have none.
        query_times: the time for which each position predicts, unix seconds [B, L], int64, 0 where
            padded: that of the next event, and at the newest position that of the request. None
            unless the model reads it.
        features: values of each event by the name of their column [B, L]: codes of text (int64, 0
            for none, for unknown values and where padded) or numbers (float32). Only those that the
            model reads.
        users: a number for each user [B], int64, at least 0: the same user has the same number
            everywhere. None unless the model reads it.
    """

    items: Tensor
    lengths: Tensor
    timestamps: Tensor | None = None
    query_times: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    users: Tensor | None = None

    @classmethod
    def from_histories(
        cls, histories: Sequence[Sequence[int]], timestamps: Sequence[Sequence[int]] | None = None
    ) -> "SequenceBatch":
        """Pad lists of item indices, and of timestamps if given, on the right."""
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
        """``values`` [B, L, ...] at the newest event of each history: [B, ...]."""
        # Not `len`, which fixes the number of histories when a model is traced.
        rows = torch.arange(self.lengths.shape[0], device=values.device)
        return values[rows, self.lengths - 1]

    def take(self, rows: Tensor | slice) -> "SequenceBatch":
        """Some of the histories, padded as far as before."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> "SequenceBatch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "SequenceBatch":
        """The same batch with every tensor changed."""
        times, queries, users = self.timestamps, self.query_times, self.users
        return SequenceBatch(
            change(self.items),
            change(self.lengths),
            None if times is None else change(times),
            None if queries is None else change(queries),
            {name: change(values) for name, values in self.features.items()},
            None if users is None else change(users),
        )


class Embedder(nn.Module, ABC):
    """Turns item indices into vectors: ``SequenceBatch -> [B, L, D]``.

    A head may score with the embedder's ``item_table``, so that both share one set of vectors.
    """

    item_table: Tensor
    """One vector per item [V + 1, D]; row 0 is padding.

    Either a parameter, or a property that computes the table, from item features for example. A
    property is evaluated on every access, so gradients reach everything it is computed from. It may
    be slow: read it once per forward pass."""
    max_length: int | None = None
    """Maximum sequence length that can be embedded; None for any length."""
    sparse_gradients: bool = False
    """Whether the gradient of ``item_table`` should be sparse; ``train.sparse_table`` sets it.

    An embedder supports it by ``look_up``, or by passing it to ``torch.nn.functional.embedding`` as
    ``sparse``."""
    takes_mask: bool = False
    """Whether ``forward`` takes ``MASK`` among the items, as it does with ``look_up``."""
    uses_features: tuple[str, ...] = ()
    """Names of the columns in ``batch.features`` that it reads."""
    uses_users: bool = False
    """The result depends on ``batch.users``."""
    streaming: bool = True
    """Whether ``step`` exists and gives what ``forward`` gives; else sessions keep no state."""
    mask_vector: nn.Parameter | None
    """The vector of a hidden event [D]; None unless the model's objective hides events."""
    uses_item_features: bool = False
    """Whether ``fit`` needs the features of the items; they are saved with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("mask_vector", None)

    def fit(self, vocabulary: "Vocabulary", item_table: "ItemTable | None") -> None:
        """Look at the items themselves, once, after the embedder is made and before it is used.

        It may make parameters and buffers, whose names and shapes must depend only on the settings,
        the number of items and the columns of the table: the embedder of a checkpoint is made and
        fitted in the same way before its weights are copied, including items that ``model.extend``
        has added. What is learned from the items (a mean, a list of categories) belongs in a
        buffer, so that it is restored with the weights. Random values come from torch's global
        generator.

        Args:
            vocabulary: the V items in index order.
            item_table: their features, one row for each; None without any.
        """

    def add_items(self, known: int) -> None:
        """Set the vectors of items that have been added, where their features determine them.

        Rows of all tensors that grew have been drawn like those of the known items already.

        Args:
            known: number of items that the model had before; the new ones have higher indices.
        """

    @abstractmethod
    def forward(self, batch: SequenceBatch) -> Tensor:
        """Embed every position of a batch: [B, L, D]."""

    def set_features(self, sizes: Mapping[str, int | None]) -> None:
        """Make what depends on the values of the features, once, when the model is built.

        Args:
            sizes: for each name in ``uses_features`` the number of codes, 0 included, or None for
                numbers.
        """

    def look_up(self, items: Tensor) -> Tensor:
        """Rows of ``item_table``, and ``mask_vector`` where an item is ``MASK``: [...] -> [..., D].

        The gradient of the table is sparse if ``sparse_gradients`` says so.
        """
        if self.mask_vector is None:
            return functional.embedding(items, self.item_table, sparse=self.sparse_gradients)
        # The row of padding is a placeholder until the mask vector replaces it.
        vectors = functional.embedding(
            items.clamp(min=0), self.item_table, sparse=self.sparse_gradients
        )
        return torch.where((items == MASK)[..., None], self.mask_vector, vectors)

    def step(self, items: Tensor, state: State) -> tuple[Tensor, State]:
        """Embed one new event of each user, for streaming.

        Args:
            items: item indices [B].
            state: what the previous call returned; None before the first event.

        Returns:
            Vectors [B, D] and the new state. The state given is not modified.

        Raises:
            NotImplementedError: this embedder cannot stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")


class Backbone(nn.Module, ABC):
    """Mixes the positions of a history: ``[B, L, D] -> [B, L, D]``.

    Attributes are its capabilities; ``seqzoo.testing`` checks them. The attributes of a class
    apply to its default configuration, those of an instance to its own.
    """

    causal: bool = True
    """Position t depends only on positions up to t, so every position can be a training target."""
    streaming: bool = False
    """``initial_state`` and ``step`` exist and give the same results as ``forward``."""
    uses_time: bool = False
    """The result depends on ``batch.timestamps``."""
    uses_query_time: bool = False
    """The result depends on ``batch.query_times``: position t may read those up to its own."""
    uses_features: tuple[str, ...] = ()
    """Names of the columns in ``batch.features`` that it reads."""
    uses_users: bool = False
    """The result depends on ``batch.users``."""
    max_length: int | None = None
    """Maximum sequence length that the weights allow; None for any length."""

    def set_features(self, sizes: Mapping[str, int | None]) -> None:
        """Make what depends on the values of the features, as ``Embedder.set_features`` does."""

    @abstractmethod
    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        Equal to ``forward`` at that event. Override it if that can be computed with less work.
        """
        return batch.gather_last(self(hidden, batch))

    def initial_state(self, batch_size: int) -> State:
        """The state before the first event of ``batch_size`` users.

        Raises:
            NotImplementedError: this backbone cannot stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no initial_state()")

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user, for streaming.

        Args:
            hidden: embedded event [B, D].
            state: what the previous call, or ``initial_state``, returned.
            elapsed: seconds since the user's previous event [B], int64; None without timestamps.

        Returns:
            Vectors [B, D] and the new state. The state given is not modified.

        Raises:
            NotImplementedError: this backbone cannot stream.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    def answer(self, state: State, waited: Tensor) -> Tensor:
        """User vectors for a request some time after the newest event, for streaming.

        For a backbone with ``uses_query_time``. Its ``step`` returns the vectors for a request at
        the time of the event itself, as ``answer`` does for 0 seconds.

        Args:
            state: what ``step`` returned for the newest event; it is not modified.
            waited: seconds from the newest event to the request [B], int64; may be negative.

        Returns:
            Vectors [B, D].

        Raises:
            NotImplementedError: sessions read the newest events again for each request.
        """
        raise NotImplementedError(f"{type(self).__name__} has no answer()")


class Head(nn.Module, ABC):
    """Scores all items, ``[..., D] -> [..., V + 1]``, and computes the training loss.

    A head that learns by counting, not by gradient descent, has ``closed_form`` and ``fit``; its
    ``loss`` is never called.
    """

    closed_form: bool = False
    """Whether training is one call of ``fit`` instead of epochs.

    The parameters of embedder and backbone then stay as they were initialised. What is learned
    belongs in buffers whose shapes follow from the settings and the number of items."""

    @abstractmethod
    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of all items: [..., D] -> [..., V + 1]; column 0 is padding, never recommended."""

    @abstractmethod
    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of predicting ``targets`` [M] (1..V) from ``hidden`` [M, D]: a scalar."""

    def fit(self, sequences: "Sequences") -> None:
        """Learn from the training part of the histories, in one pass.

        Only a head with ``closed_form`` has it. A second call replaces what the first has learned,
        and the same histories give the same tensors, bit for bit.

        Args:
            sequences: item indices, timestamps and offsets as flat arrays, with the features of
                events that embedder and backbone declare; no held-out event is among them.

        Raises:
            NotImplementedError: this head learns by gradients.
            TrainingError: the histories lack something that the head needs, such as timestamps.
        """
        raise NotImplementedError(f"{type(self).__name__} has no fit()")

    def similarity(self, item: int) -> Tensor | None:
        """How similar all items are to one [V + 1], for a head with a measure of its own.

        None means the cosine of the vectors in the embedder's ``item_table``. Items with
        ``-inf`` are never part of an answer.

        Raises:
            UsageError: the head has no measure of similarity.
        """
        return None

    def score_blocks(
        self, hidden: Tensor, items: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Scores in blocks of items, for callers that do not need all of them at once.

        By default there is one block, with all items. Override it if a block can be computed
        without the others.

        Args:
            hidden: user vectors [B, D].
            items: item indices to score [C]; None for all, padding included.

        Yields:
            The position of the block's first item, and scores [B, n] that the caller may overwrite.
        """
        scores = self(hidden)
        yield 0, scores if items is None else scores[:, items]

    def topk(
        self,
        hidden: Tensor,
        k: int,
        exclude: tuple[Tensor, Tensor] | None = None,
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The best ``k`` items of each row; ties are ordered by item index.

        Args:
            hidden: user vectors [B, D].
            k: number of items.
            exclude: row and item indices [E], [E] of the pairs that must not be returned.
            candidates: item indices to choose from [C]; None for all items.

        Returns:
            Scores and item indices, both [B, k], or [B, C] if C is less than k; best first. Where
            fewer items are allowed, the rest has the score ``-inf``.
        """
        if candidates is None:
            # Padding is excluded for every row.
            rows = torch.arange(len(hidden), device=hidden.device)
            columns = torch.zeros_like(rows)
            if exclude is not None:
                rows, columns = torch.cat([rows, exclude[0]]), torch.cat([columns, exclude[1]])
            return top_of_blocks(self.score_blocks(hidden), k, Pairs(rows, columns))
        items = torch.unique(candidates)
        pairs = None
        if exclude is not None:
            positions = torch.searchsorted(items, exclude[1]).clamp(max=len(items) - 1)
            among = items[positions] == exclude[1]
            pairs = Pairs(exclude[0][among], positions[among])
        scores, positions = top_of_blocks(self.score_blocks(hidden, items), k, pairs)
        return scores, items[positions]
