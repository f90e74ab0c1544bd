"""``ScoringModel``: embedder, backbone, head and vocabulary in one module that recommends."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.interfaces import Backbone, Embedder, Head, SequenceBatch
from seqzoo.model.display import Recommendations
from seqzoo.model.histories import EncodedHistory, History, encode_histories, refuse_unknown
from seqzoo.model.inference import inference
from seqzoo.plugins import catalogue
from seqzoo.validation import list_of, whole_number

__all__ = [
    "Answer",
    "Recommendation",
    "ScoringModel",
]

logger = logging.getLogger("seqzoo")

_WHOLE_HISTORY = 2**31 - 1


@dataclass(frozen=True)
class Recommendation:
    """One recommended item: its id, the model's score and its title, if there is one."""

    item: str
    score: float
    label: str | None = None


@dataclass(frozen=True)
class Answer:
    """The recommendations after one history.

    Attributes:
        recommendations: the best items, best first.
        unknown: ids of the history that the model does not know, which were skipped.
    """

    recommendations: list[Recommendation]
    unknown: list[str]


class ScoringModel(nn.Module):
    """A sequence model that takes histories of item ids and returns item ids.

    Attributes:
        architecture: registered name.
        config: resolved settings, flat.
        vocabulary: the items it knows, in index order.
        embedder, backbone, head: the three parts.
    """

    embedder: Embedder
    backbone: Backbone
    head: Head

    def __init__(
        self,
        architecture: str,
        config: Mapping[str, Any],
        vocabulary: Vocabulary,
        embedder: Embedder,
        backbone: Backbone,
        head: Head,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.config = dict(config)
        self.vocabulary = vocabulary
        self.embedder = embedder
        self.backbone = backbone
        self.head = head

    @property
    def parts(self) -> dict[str, str]:
        """Registered names of the three parts."""
        spec = catalogue().architectures.get(self.architecture)
        head = self.config.get("head", spec.head)
        return {"embedder": spec.embedder, "backbone": spec.backbone, "head": head}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedder.item_table.device

    @property
    def max_length(self) -> int:
        """Maximum sequence length: longer histories are cut to their newest events."""
        length = self.config.get("max_length")
        if length is None:
            # A plugin's embedder need not have the setting; fall back to the parts' own limits.
            length = self.embedder.max_length or self.backbone.max_length or _WHOLE_HISTORY
        return int(length)

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Hidden vectors of every position: [B, L, D]."""
        hidden: Tensor = self.backbone(self.embedder(batch), batch)
        return hidden

    def last(self, batch: SequenceBatch) -> Tensor:
        """Hidden vectors after the newest event of each history: [B, D]."""
        return self.backbone.last(self.embedder(batch), batch)

    def encode(
        self,
        histories: Sequence[History],
        *,
        timestamps: Sequence[Sequence[int]] | None = None,
        batch_size: int = 256,
        on_unknown: str = "skip",
    ) -> Tensor:
        """User vectors [B, D] of histories of item ids.

        Args:
            histories: item ids of each user, oldest first.
            timestamps: unix seconds of each event, for models that use timestamps.
            batch_size: number of histories per batch.
            on_unknown: ``skip`` ignores items that the model does not know, ``error`` raises.

        Raises:
            UnknownItemError: a history has no known item, or has an unknown one and ``on_unknown``
                is ``error``.
            UsageError: a history is empty, or the numbers of timestamps and items differ.
        """
        encoded = self._encode_ids(histories, timestamps, on_unknown)
        if not encoded:
            return self.embedder.item_table.new_zeros(0, self.embedder.item_table.shape[1]).detach()
        vectors = [
            (rows, hidden.cpu()) for rows, hidden in self._encode_batches(encoded, batch_size)
        ]
        order = torch.cat([rows for rows, _ in vectors]).argsort()
        return torch.cat([hidden for _, hidden in vectors])[order]

    def recommend(
        self,
        history: History,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        timestamps: Sequence[int] | None = None,
        on_unknown: str = "skip",
    ) -> list[Recommendation]:
        """The ``k`` best items after one history of item ids, best first.

        Fewer than ``k`` items are returned only if fewer candidates are left. Arguments and errors
        are as for ``recommend_many``.
        """
        return self.recommend_many(
            [history],
            k,
            exclude_seen=exclude_seen,
            candidates=candidates,
            timestamps=None if timestamps is None else [timestamps],
            on_unknown=on_unknown,
        )[0]

    def recommend_many(
        self,
        histories: Sequence[History],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        timestamps: Sequence[Sequence[int]] | None = None,
        batch_size: int = 256,
        on_unknown: str = "skip",
    ) -> list[list[Recommendation]]:
        """The ``k`` best items after each history, best first.

        Args:
            histories: item ids of each user, oldest first.
            k: number of items, 1 to the size of the catalogue.
            exclude_seen: exclude all items of the history, including those beyond ``max_length``.
            candidates: ids of the candidate items; None for the whole catalogue.
            timestamps: unix seconds of each event, for models that use timestamps.
            batch_size: number of histories per batch.
            on_unknown: ``skip`` ignores items that the model does not know, ``error`` raises.

        Raises:
            UnknownItemError: a candidate is unknown, a history has no known item, or a history has
                an unknown item and ``on_unknown`` is ``error``.
            UsageError: ``k`` is out of range, a history is empty, or timestamps do not match the
                items.
            NotFiniteError: a score is NaN or infinite.
        """
        answers = self.answer_many(
            histories,
            k,
            exclude_seen=exclude_seen,
            candidates=candidates,
            timestamps=timestamps,
            batch_size=batch_size,
            on_unknown=on_unknown,
        )
        return [answer.recommendations for answer in answers]

    def answer_many(
        self,
        histories: Sequence[History],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        timestamps: Sequence[Sequence[int]] | None = None,
        batch_size: int = 256,
        on_unknown: str = "skip",
    ) -> list[Answer]:
        """Like ``recommend_many``, and also return the unknown ids of each history."""
        allowed = self._check_choice(k, candidates)
        encoded = self._encode_ids(histories, timestamps, on_unknown)
        answers: list[Answer | None] = [None] * len(encoded)
        for rows, hidden in self._encode_batches(encoded, batch_size):
            seen = [encoded[row].items for row in rows] if exclude_seen else None
            for row, found in zip(rows.tolist(), self._best(hidden, k, seen, allowed), strict=True):
                answers[row] = Answer(found, encoded[row].unknown)
        return [answer for answer in answers if answer is not None]

    def recommend_from(
        self,
        hidden: Tensor,
        k: int = 10,
        *,
        seen: Sequence[Sequence[int]] | None = None,
        candidates: Sequence[str] | None = None,
    ) -> list[list[Recommendation]]:
        """The ``k`` best items for given user vectors, best first.

        Args:
            hidden: user vectors [B, D], for example from ``encode``.
            k: number of items, 1 to the size of the catalogue.
            seen: item indices of each user to exclude.
            candidates: ids of the candidate items; None for the whole catalogue.

        Raises:
            UnknownItemError: a candidate is unknown.
            UsageError: ``k`` is out of range, the vectors have a wrong width or dtype, or item
                indices are outside the vocabulary.
            NotFiniteError: a vector or a score is NaN or infinite.
        """
        vectors = self._check_vectors(hidden)
        return self.recommend_valid(vectors, k, self._check_seen(seen, vectors), candidates)

    def recommend_valid(
        self,
        hidden: Tensor,
        k: int,
        seen: Sequence[Sequence[int]] | None,
        candidates: Sequence[str] | None,
    ) -> list[list[Recommendation]]:
        """Like ``recommend_from``, for vectors and indices that are known to be valid."""
        return self._best(hidden, k, seen, self._check_choice(k, candidates))

    def _check_choice(self, k: int, candidates: Sequence[str] | None) -> Tensor | None:
        """Check ``k``, and turn candidates into their indices."""
        whole_number("k", k, 1, len(self.vocabulary), ", the number of items of the model")
        if candidates is None:
            return None
        ids = list(candidates) if isinstance(candidates, Set) else candidates
        known, unknown = self.vocabulary.encode(list_of("candidates", "item ids", ids))
        if unknown or not len(known):
            refuse_unknown(self.vocabulary, "candidates", unknown)
        return torch.from_numpy(np.unique(known).astype(np.int64)).to(self.device)

    def _check_vectors(self, hidden: Tensor) -> Tensor:
        """Check user vectors, and move them to the model's device."""
        table = self.embedder.item_table
        width = table.shape[1]
        if not isinstance(hidden, Tensor):
            kind = type(hidden).__name__
            raise UsageError(f"user vectors are a tensor [B, {width}]; got {kind}")
        if hidden.dim() != 2 or hidden.shape[1] != width or hidden.dtype != table.dtype:
            raise UsageError(
                f"user vectors have shape {list(hidden.shape)} and {hidden.dtype}; expected "
                f"[B, {width}] and {table.dtype}, as model.encode(histories) returns them"
            )
        return hidden.to(self.device)

    def _check_seen(
        self, seen: Sequence[Sequence[int]] | None, hidden: Tensor
    ) -> list[list[int]] | None:
        """Check that the item indices of each user are in the vocabulary."""
        if seen is None:
            return None
        rows = [
            list_of("seen items", "item indices", row) for row in list_of("seen", "lists", seen)
        ]
        if len(rows) != len(hidden):
            raise UsageError(f"{len(rows)} lists of seen items for {len(hidden)} user vectors")
        items = len(self.vocabulary)
        return [
            [
                whole_number("a seen item", item, 1, items)
                for item in list_of("seen", "indices", row)
            ]
            for row in rows
        ]

    def _best(
        self,
        hidden: Tensor,
        k: int,
        seen: Sequence[Sequence[int]] | None,
        allowed: Tensor | None,
    ) -> list[list[Recommendation]]:
        """The ``k`` best items of each row, or fewer if fewer candidates are left."""
        exclude = None if seen is None else _seen_pairs(seen, hidden.device)
        with inference(self):
            scores, items = self.head.topk(hidden, k, exclude, allowed)
            # Excluded items score minus infinity; any other score that is not finite is an error.
            broken = (
                ~torch.isfinite(hidden).all(1) | scores.isnan().any(1) | scores.isposinf().any(1)
            )
        if broken.any():
            raise NotFiniteError(
                f"the {self.architecture} model computes scores that are not finite numbers for "
                f"{int(broken.sum())} of {len(broken)} histories: its weights are damaged or "
                "overflow; load another checkpoint, or train again with a lower learning rate"
            )
        return [
            Recommendations(
                Recommendation(self.vocabulary.item(item), score, self.vocabulary.label(item))
                for score, item in zip(row_scores, row_items, strict=True)
                if score > -float("inf")
            )
            for row_scores, row_items in zip(scores.tolist(), items.tolist(), strict=True)
        ]

    def _encode_ids(
        self,
        histories: Sequence[History],
        timestamps: Sequence[Sequence[int]] | None,
        on_unknown: str,
    ) -> list[EncodedHistory]:
        if self.backbone.uses_time and timestamps is None:
            logger.warning(
                "%s uses timestamps and none were given: all events are treated as simultaneous",
                self.architecture,
            )
        return encode_histories(self.vocabulary, histories, timestamps, on_unknown)

    def _encode_batches(
        self, encoded: list[EncodedHistory], batch_size: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Row numbers and user vectors of batches of similar length, to limit padding."""
        batch_size = whole_number("batch_size", batch_size, 1)
        window = self.max_length
        order = sorted(range(len(encoded)), key=lambda row: min(len(encoded[row].items), window))
        results = []
        with inference(self):
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                times = [encoded[row].timestamps for row in rows]
                batch = SequenceBatch.from_histories(
                    [encoded[row].items[-window:] for row in rows],
                    None
                    if any(time is None for time in times)
                    else [time[-window:] for time in times if time is not None],
                )
                results.append((torch.tensor(rows), self.last(batch.to(self.device))))
        return results


def _seen_pairs(histories: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(row, item) pairs of all items in the histories."""
    counts = torch.tensor([len(history) for history in histories])
    rows = torch.repeat_interleave(torch.arange(len(histories)), counts)
    items = torch.tensor([item for history in histories for item in history])
    return rows.to(device), items.to(device)
