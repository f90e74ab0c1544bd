"""``ScoringModel``: embedder, backbone, head and vocabulary in one module, and its best items."""

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.build import Parts
from seqzoo.model.choice import Candidates, Choice, Exclusions, Seen, read_choice
from seqzoo.model.inference import inference
from seqzoo.model.reads import Reads
from seqzoo.model.recommendations import (
    Recommendation,
    RecommendationLists,
    Recommendations,
)
from seqzoo.model.similarity import similarities
from seqzoo.ops.compiled_step import ItemStep
from seqzoo.parts.int8_index import Int8Index
from seqzoo.plugins import catalogue
from seqzoo.specs import DEFAULT_OBJECTIVE
from seqzoo.validation import list_of, one_of, whole_number

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = [
    "ScoringModel",
]

logger = logging.getLogger("seqzoo")

INDICES = ("int8",)
_WHOLE_HISTORY = 2**31 - 1


class ScoringModel(nn.Module):
    """A sequence model that gives the best items for user vectors.

    Attributes:
        architecture: registered name.
        config: resolved settings, flat.
        vocabulary: the items it knows, in index order.
        embedder, backbone, head: the three parts.
        objective: what it is trained on, and how it reads a history.
        item_features: the features of the items, in index order, if the embedder reads any.
    """

    def __init__(self, architecture: str, parts: Parts, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.architecture = architecture
        self.config = dict(parts.config)
        self.vocabulary = vocabulary
        self.embedder = parts.embedder
        self.backbone = parts.backbone
        self.head = parts.head
        self.objective = parts.objective
        self.item_features = parts.item_features
        self.index: Int8Index | None = None
        self.reads = Reads.of(self)
        self.item_step = ItemStep()

    @property
    def parts(self) -> dict[str, str]:
        """Registered names of the parts; the objective only if it is not the default one."""
        spec = catalogue().architectures.get(self.architecture)
        objective = self.objective_name
        parts = {
            "embedder": self.embedder_name,
            "backbone": spec.backbone,
            "head": self.config.get("head", spec.head),
        }
        if objective == DEFAULT_OBJECTIVE:
            return parts
        return {**parts, "objective": objective}

    @property
    def embedder_name(self) -> str:
        """Registered name of the embedder."""
        spec = catalogue().architectures.get(self.architecture)
        return str(self.config.get("embedder", spec.embedder))

    @property
    def objective_name(self) -> str:
        """Registered name of the objective."""
        spec = catalogue().architectures.get(self.architecture)
        return str(self.config.get("objective", spec.objective))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        # Not that of the item table, which may be computed. A part may have buffers alone.
        return self.any_tensor.device

    @property
    def any_tensor(self) -> Tensor:
        """One of the parameters, or a buffer if there are none.

        ``next(self.parameters())`` takes longer than a small computation.
        """
        modules: list[nn.Module] = [self]
        for module in modules:
            for parameter in module._parameters.values():
                if parameter is not None:
                    return parameter
            modules += [child for child in module._modules.values() if child is not None]
        return next(self.buffers())

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

    def use_index(self, kind: str | None) -> None:
        """Choose how the best items are found; the index is not saved with the model.

        Args:
            kind: None computes all scores. ``int8`` scans quantised vectors first and returns the
                same items, with the same scores up to rounding, in less time for a large catalogue.
                It takes a quarter more memory, and must be made again after the weights change.

        Raises:
            UsageError: there is no such index, or the model's head does not support it.
            NotFiniteError: an item vector is NaN or infinite.
        """
        if kind is not None:
            one_of("index", kind, INDICES)
        self.index = None if kind is None else Int8Index(self.head)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Hidden vectors of every position: [B, L, D]."""
        hidden: Tensor = self.backbone(self.embedder(batch), batch)
        return hidden

    def last(self, batch: SequenceBatch) -> Tensor:
        """Hidden vectors after the newest event of each history: [B, D]."""
        return self.backbone.last(self.embedder(batch), batch)

    def read(self, batch: SequenceBatch) -> Tensor:
        """User vectors of histories, as the objective reads them: [B, D].

        Those of ``last``, unless the objective adds to the history, such as a hidden event.
        """
        return self.objective.read(cast("SequenceModel", self), batch)

    def recommend_from(
        self,
        hidden: Tensor,
        k: int = 10,
        *,
        seen: Sequence[Sequence[int]] | None = None,
        candidates: Candidates | None = None,
        exclude: Exclusions | None = None,
        on_unknown: str = "skip",
    ) -> RecommendationLists:
        """The ``k`` best items for given user vectors, best first.

        Args:
            hidden: user vectors [B, D], for example from ``encode``.
            k: number of items, 1 to the size of the catalogue.
            seen: item indices of each user to exclude.
            candidates: ids of the candidate items, or a list of ids for each user; None for the
                whole catalogue. A user whose list has no known item gets an empty answer.
            exclude: ids of items that are never recommended, or a list of ids for each user.
            on_unknown: ``skip`` ignores ids that the model does not know, ``error`` raises.

        Raises:
            UnknownItemError: no candidate is known, or an id is unknown and ``on_unknown`` is
                ``error``.
            UsageError: ``k`` is out of range, the vectors have a wrong width or dtype, or item
                indices are outside the vocabulary.
            NotFiniteError: a vector or a score is NaN or infinite.
        """
        vectors = self._check_vectors(hidden)
        indices = self._check_seen(seen, vectors)
        choice = read_choice(self.vocabulary, len(vectors), k, candidates, exclude, on_unknown)
        users = range(len(vectors))
        return self.recommend_batches([(users, vectors)], choice, indices, "error", len(vectors))

    def recommend_batches(
        self,
        batches: Iterable[tuple[Sequence[int], Tensor]],
        choice: Choice,
        seen: Seen | None,
        on_cold: str,
        users: int,
    ) -> RecommendationLists:
        """The best items for user vectors, whose arguments are known to be valid.

        Args:
            batches: positions of users, and their vectors [B, D]. A user in no batch is cold.
            choice: what may be recommended to whom.
            seen: item indices of each user that are left out; None for none.
            on_cold: ``popular`` recommends the most popular items to cold users.
            users: how many users there are.

        Raises:
            UsageError: the model has no item counts and ``on_cold`` is ``popular``.
            NotFiniteError: a vector or a score is NaN or infinite.
        """
        ranking = self.vocabulary.most_popular if on_cold == "popular" else None
        answers = RecommendationLists(Recommendations(cold=True) for _ in range(users))
        for rows, hidden in batches:
            for positions, own in choice.groups(rows):
                some = [rows[position] for position in positions]
                shown = None if seen is None else [seen[row] for row in some]
                vectors = hidden if len(some) == len(rows) else hidden[positions]
                best = self._best(vectors, own, own.pairs(some, shown))
                for row, answer in zip(some, best, strict=True):
                    answers[row] = answer
        if ranking is not None:
            counts = self.vocabulary.counts or ()
            for row, answer in enumerate(answers):
                if answer.cold:
                    popular = choice.first(ranking, row)
                    answer.extend(self._items(popular, [float(counts[i - 1]) for i in popular]))
        return answers

    def similar(
        self,
        item: str,
        k: int = 10,
        *,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        on_unknown: str = "skip",
    ) -> Recommendations:
        """The ``k`` items most similar to an item, most similar first.

        The score is the cosine of the two items' vectors in the embedder's ``item_table``, -1 to 1.
        A head may have a measure of its own, such as the similarities of ``item-knn``; it may know
        fewer than ``k`` similar items.

        Args:
            item: an id of the model's vocabulary; it is not part of the answer.
            k: number of items, 1 to the size of the catalogue.
            candidates: ids of the candidate items; None for the whole catalogue.
            exclude: ids of items that are left out.
            on_unknown: ``skip`` ignores candidates and exclusions that the model does not know,
                ``error`` raises.

        Raises:
            UnknownItemError: the item is unknown, no candidate is known, or an id is unknown and
                ``on_unknown`` is ``error``.
            UsageError: ``k`` is out of range, or the model has no measure of similarity.
            NotFiniteError: a vector is NaN or too large.
        """
        index = self.vocabulary.index(item)
        choice = read_choice(self.vocabulary, 1, k, candidates, exclude, on_unknown)
        with inference(self):
            cosines = similarities(self, index)
            if cosines is None:
                raise self._not_finite("cosines that are not finite numbers")
            cosines[[0, index, *(choice.excluded[0] if choice.excluded else ())]] = -torch.inf
            allowed = torch.arange(len(cosines))
            if choice.allowed is not None:
                allowed = torch.from_numpy(choice.allowed)
            allowed = allowed.to(cosines.device)
            scores, order = cosines[allowed].topk(min(k, len(allowed)))
        return Recommendations(self._items(allowed[order].tolist(), scores.tolist()))

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
        return [[whole_number("a seen item", item, 1, items) for item in row] for row in rows]

    def _best(
        self, hidden: Tensor, choice: Choice, exclude: tuple[Tensor, Tensor] | None
    ) -> list[Recommendations]:
        """The best items of each row, or fewer if fewer candidates are left."""
        if choice.allowed is not None and not len(choice.allowed):
            return [Recommendations() for _ in hidden]
        device = hidden.device
        pairs = None if exclude is None else (exclude[0].to(device), exclude[1].to(device))
        allowed = None if choice.allowed is None else torch.from_numpy(choice.allowed).to(device)
        with inference(self):
            search = self.head if self.index is None else self.index
            scores, items = search.topk(hidden, choice.k, pairs, allowed)
            # Excluded items score minus infinity; any other score that is not finite is an error.
            broken = (
                ~torch.isfinite(hidden).all(1) | scores.isnan().any(1) | scores.isposinf().any(1)
            )
        if broken.any():
            found = f"scores that are not finite numbers for {int(broken.sum())} of {len(broken)}"
            raise self._not_finite(f"{found} histories")
        return [
            Recommendations(self._items(row_items, row_scores))
            for row_items, row_scores in zip(items.tolist(), scores.tolist(), strict=True)
        ]

    def _items(self, indices: Sequence[int], scores: Sequence[float]) -> list[Recommendation]:
        """The items with their ids and labels; a score of minus infinity marks an excluded one."""
        items, labels = self.vocabulary.items, self.vocabulary.labels
        return [
            Recommendation(items[index - 1], score, None if labels is None else labels[index - 1])
            for index, score in zip(indices, scores, strict=True)
            if score > -float("inf")
        ]

    def _not_finite(self, found: str) -> NotFiniteError:
        return NotFiniteError(
            f"the {self.architecture} model computes {found}: its weights are damaged or "
            "overflow; load another checkpoint, or train again with a lower learning rate"
        )
