"""``RecommendingModel``: a model that takes histories of item ids and returns item ids."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from seqzoo.model.choice import Candidates, Choice, Exclusions, read_choice
from seqzoo.model.context import Features, read_context
from seqzoo.model.histories import ON_COLD, EncodedHistories, History, encode_histories
from seqzoo.model.inference import inference
from seqzoo.model.recommendations import RecommendationLists, Recommendations
from seqzoo.model.scoring import ScoringModel
from seqzoo.validation import one_of, whole_number

__all__ = [
    "RecommendingModel",
]

logger = logging.getLogger("seqzoo")


class RecommendingModel(ScoringModel):
    """A sequence model that takes histories of item ids and returns item ids."""

    def encode(
        self,
        histories: Sequence[History],
        *,
        timestamps: Sequence[Sequence[int]] | None = None,
        at: Sequence[int] | None = None,
        features: Sequence[Features] | None = None,
        users: Sequence[str] | None = None,
        batch_size: int = 256,
        on_unknown: str = "skip",
    ) -> Tensor:
        """User vectors [B, D] of histories of item ids.

        Args:
            histories: item ids of each user, oldest first.
            timestamps: unix seconds of each event, for models that use timestamps.
            at: as for ``recommend_many``.
            features: as for ``recommend_many``.
            users: as for ``recommend_many``.
            batch_size: maximum number of histories per batch. On a CPU, batches of long histories
                are smaller, so that they fit its cache.
            on_unknown: ``skip`` ignores items that the model does not know, ``error`` raises.

        Raises:
            UnknownItemError: a history has no known item, or has an unknown one and ``on_unknown``
                is ``error``.
            UsageError: a history is empty, or the numbers of timestamps and items differ.
        """
        self.warn_of_timestamps(timestamps)
        histories = [*map(list, histories)] if self.reads else histories
        encoded = encode_histories(self.vocabulary, histories, timestamps, on_unknown)
        context = read_context(self, histories, timestamps, at, features, users)
        encoded = replace(encoded, context=context)
        table = self.embedder.item_table
        vectors = table.new_empty(len(encoded), table.shape[1], device="cpu")
        for rows, hidden in self._encode_batches(encoded, batch_size):
            vectors[rows] = hidden.cpu()
        return vectors

    def recommend(
        self,
        history: History,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        timestamps: Sequence[int] | None = None,
        at: int | None = None,
        features: Features | None = None,
        user: str | None = None,
        on_unknown: str = "skip",
        on_cold: str = "error",
    ) -> Recommendations:
        """The ``k`` best items after one history of item ids, best first.

        Fewer than ``k`` items are returned only if fewer candidates are left. Arguments and errors
        are as for ``recommend_many``.
        """
        return self.recommend_many(
            [history],
            k,
            exclude_seen=exclude_seen,
            candidates=candidates,
            exclude=exclude,
            timestamps=None if timestamps is None else [timestamps],
            at=None if at is None else [at],
            features=None if features is None else [features],
            users=None if user is None else [user],
            on_unknown=on_unknown,
            on_cold=on_cold,
        )[0]

    def recommend_many(
        self,
        histories: Sequence[History],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Candidates | None = None,
        exclude: Exclusions | None = None,
        timestamps: Sequence[Sequence[int]] | None = None,
        at: Sequence[int] | None = None,
        features: Sequence[Features] | None = None,
        users: Sequence[str] | None = None,
        batch_size: int = 256,
        on_unknown: str = "skip",
        on_cold: str = "error",
    ) -> RecommendationLists:
        """The ``k`` best items after each history, best first.

        Args:
            histories: item ids of each user, oldest first.
            k: number of items, 1 to the size of the catalogue.
            exclude_seen: exclude all items of the history, including those beyond ``max_length``.
            candidates: ids of the candidate items, or a list of ids for each user; None for the
                whole catalogue. A user whose list has no known item gets an empty answer.
            exclude: ids of items that are never recommended, or a list of ids for each user.
            timestamps: unix seconds of each event, for models that use timestamps.
            at: unix seconds of each user's request, for models that read it; None for the time of
                the newest event.
            features: for each user the values of every event by the name of a feature, for models
                that read features.
            users: the id of each user, for models that read it.
            batch_size: maximum number of histories per batch. On a CPU, batches of long histories
                are smaller, so that they fit its cache.
            on_unknown: ``skip`` ignores ids of histories, candidates and exclusions that the model
                does not know, ``error`` raises.
            on_cold: the answer for a user whose history has no known item: ``error`` raises,
                ``empty`` is an empty list, ``popular`` is the items with the most interactions in
                training, with their number as the score.

        Raises:
            UnknownItemError: no candidate is known, a history has no known item and ``on_cold`` is
                ``error``, or an id is unknown and ``on_unknown`` is ``error``.
            UsageError: ``k`` is out of range, a history is empty and ``on_cold`` is ``error``, the
                model has no item counts and ``on_cold`` is ``popular``, or timestamps do not match
                the items.
            NotFiniteError: a score is NaN or infinite.
        """
        one_of("on_cold", on_cold, ON_COLD)
        self.warn_of_timestamps(timestamps)
        histories = [*map(list, histories)] if self.reads else histories
        read = encode_histories(self.vocabulary, histories, timestamps, on_unknown, on_cold)
        context = read_context(self, histories, timestamps, at, features, users)
        read = replace(read, context=context)
        choice = read_choice(self.vocabulary, len(read), k, candidates, exclude, on_unknown)
        return self.recommend_encoded(read, choice, exclude_seen, on_cold, batch_size)

    def recommend_encoded(
        self,
        read: EncodedHistories,
        choice: Choice,
        exclude_seen: bool,
        on_cold: str,
        batch_size: int,
    ) -> RecommendationLists:
        """``recommend_many`` for histories and a choice that have been read."""
        seen = [read.items_of(user) for user in range(len(read))] if exclude_seen else None
        answers = self.recommend_batches(
            self._encode_batches(read, batch_size), choice, seen, on_cold, len(read)
        )
        for answer, unknown in zip(answers, read.unknown, strict=True):
            answer.unknown = unknown
        return answers

    def warn_of_timestamps(self, timestamps: object | None) -> None:
        """Log a warning if the model uses timestamps and there are none."""
        if self.backbone.uses_time and timestamps is None:
            logger.warning(
                "%s uses timestamps and none were given: all events are treated as simultaneous",
                self.architecture,
            )

    def _encode_batches(
        self, encoded: EncodedHistories, batch_size: int
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Positions of users, and their vectors [B, D], batch by batch."""
        batch_size = whole_number("batch_size", batch_size, 1)
        for rows, batch in encoded.batches(self.max_length, batch_size, self.device):
            with inference(self):
                hidden = self.read(batch)
            yield rows, hidden
