"""``SequenceModel``: embedder, backbone, head and vocabulary as one module that recommends."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from seqzoo.checkpoint.find import open_checkpoint
from seqzoo.checkpoint.hub.address import repository_address
from seqzoo.checkpoint.record import Checkpoint
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.interfaces import Backbone, Embedder, Head, SequenceBatch
from seqzoo.model.build import build_parts
from seqzoo.model.histories import EncodedHistory, History, encode_histories, refuse_unknown
from seqzoo.model.load import load_model
from seqzoo.model.provenance import AsBuilt, Provenance
from seqzoo.model.save import checkpoint_of, save_model
from seqzoo.model.session import Session
from seqzoo.plugins import catalogue
from seqzoo.validation import list_of, whole_number

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("seqzoo")

_WHOLE_HISTORY = 2**31 - 1


@dataclass(frozen=True)
class Recommendation:
    """One recommended item: its id, the model's score and its title where the model knows one."""

    item: str
    score: float
    label: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a model recommends after one history.

    Attributes:
        recommendations: the best items, best first.
        unknown: ids of the history that the model does not know, which were left out.
    """

    recommendations: list[Recommendation]
    unknown: list[str]


class SequenceModel(nn.Module):
    """A model of histories that takes and returns the user's own item ids.

    Attributes:
        architecture: registered name.
        config: resolved settings, flat.
        vocabulary: the items it knows, in index order.
        embedder, backbone, head: the three parts.
        recipe: what trained it, as in ``recipe.yaml``; empty for fresh weights.
        metrics: stored metrics by protocol, as in ``metrics.json``; empty for fresh weights.
        as_built: what loading a checkpoint of the model would build; None where ``build`` did not
            make it.
        provenance: the weights that recipe and metrics belong to; None for fresh weights.
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
        self.recipe: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self.as_built: AsBuilt | None = None
        self.provenance: Provenance | None = None

    @classmethod
    def build(
        cls, architecture: str, settings: Mapping[str, Any], vocabulary: Vocabulary
    ) -> "Self":
        """Make a model with fresh weights, drawn from torch's global generator.

        Args:
            architecture: registered name.
            settings: what differs from the architecture's defaults.
            vocabulary: the items.

        Raises:
            UnknownNameError: no architecture has the name.
            ConfigError: a setting is unknown or has the wrong type.
            PluginError: a part cannot be imported.
        """
        parts = build_parts(architecture, settings, len(vocabulary))
        model = cls(
            architecture, parts.config, vocabulary, parts.embedder, parts.backbone, parts.head
        )
        model.as_built = AsBuilt.of(model)
        return model

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: str | torch.device = "cpu") -> "Self":
        """The model of a checkpoint that has been read, in evaluation mode.

        Raises:
            CheckpointError: its plugin is missing or other than the one that saved it, or its
                files do not belong together.
            UsageError: there is no such device.
        """
        return load_model(cls, checkpoint, device)

    @classmethod
    def from_pretrained(
        cls, name: str | PathLike[str], device: str | torch.device = "cpu"
    ) -> "Self":
        """A trained model, ready to recommend: what ``seqzoo.load`` does."""
        return cls.from_checkpoint(open_checkpoint(name), device)

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write a checkpoint folder, with the recipe and the metrics that belong to the weights.

        Raises:
            CheckpointError: as ``seqzoo.model.save.save_model`` does.
        """
        save_model(folder, self)

    def push_to_hub(self, repo: str, *, private: bool | None = None) -> str:
        """Publish the model as ``org/name``, as ``seqzoo.push`` does; the commit's address."""
        from seqzoo.checkpoint.hub.push import push_checkpoint  # the Hub's client is slow to import

        address = repository_address(repo)
        checkpoint = checkpoint_of(self, address.name)
        return str(push_checkpoint(checkpoint, address, private=private).address)

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
        """How many of the newest events of a history are read."""
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
            timestamps: unix seconds of each event, where the model uses times.
            batch_size: how many histories are encoded at once.
            on_unknown: ``skip`` leaves items out that the model does not know, ``error`` refuses.

        Raises:
            UnknownItemError: a history holds no known item, or an unknown one under ``error``.
            UsageError: a history is empty, or times and items differ in number.
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

        Fewer than ``k`` come back only where fewer are left to recommend. Arguments and errors are
        those of ``recommend_many``.
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
            k: how many items, 1 to the size of the catalogue.
            exclude_seen: leave out the items of the history (all of it, not only what is read).
            candidates: ids to choose from; the whole catalogue where None.
            timestamps: unix seconds of each event, where the model uses timestamps.
            batch_size: how many histories are scored at once.
            on_unknown: ``skip`` leaves items out that the model does not know, ``error`` refuses.

        Raises:
            UnknownItemError: an unknown candidate, a history without a known item, or an unknown
                item under ``on_unknown="error"``.
            UsageError: ``k`` out of range, an empty history, or timestamps that do not match the
                items.
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
        """As ``recommend_many``, with the ids of each history that the model does not know."""
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
        """The ``k`` best items for user vectors that are there already, best first.

        Args:
            hidden: user vectors [B, D], from ``encode`` for example.
            k: how many items, 1 to the size of the catalogue.
            seen: item indices of each user that must not come back.
            candidates: ids to choose from; the whole catalogue where None.

        Raises:
            UnknownItemError: an unknown candidate.
            UsageError: ``k`` out of range.
        """
        return self._best(hidden, k, seen, self._check_choice(k, candidates))

    def session(self, saved: str | PathLike[str] | None = None) -> Session:
        """A session of one user, one event at a time.

        Args:
            saved: folder of a saved session to continue; a new one where None.

        Raises:
            UsageError: the backbone cannot stream, or the folder holds no session of this model.
        """
        return Session(self) if saved is None else Session.restore(self, saved)

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

    def _best(
        self,
        hidden: Tensor,
        k: int,
        seen: Sequence[Sequence[int]] | None,
        allowed: Tensor | None,
    ) -> list[list[Recommendation]]:
        """The ``k`` best items of each row; fewer where fewer are left."""
        exclude = None if seen is None else _seen_pairs(seen, hidden.device)
        with torch.inference_mode():
            scores, items = self.head.topk(hidden, k, exclude, allowed)
        return [
            [
                Recommendation(self.vocabulary.item(item), score, self.vocabulary.label(item))
                for score, item in zip(row_scores, row_items, strict=True)
                if score > -float("inf")
            ]
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
                "%s uses timestamps and none were given: all events are taken as simultaneous",
                self.architecture,
            )
        return encode_histories(self.vocabulary, histories, timestamps, on_unknown)

    def _encode_batches(
        self, encoded: list[EncodedHistory], batch_size: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Row numbers and user vectors of batches of similar length, so that little is padded."""
        batch_size = whole_number("batch_size", batch_size, 1)
        window = self.max_length
        order = sorted(range(len(encoded)), key=lambda row: min(len(encoded[row].items), window))
        results = []
        training = self.training
        self.eval()
        try:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                times = [encoded[row].timestamps for row in rows]
                batch = SequenceBatch.from_histories(
                    [encoded[row].items[-window:] for row in rows],
                    None
                    if any(time is None for time in times)
                    else [time[-window:] for time in times if time is not None],
                )
                with torch.inference_mode():
                    results.append((torch.tensor(rows), self.last(batch.to(self.device))))
        finally:
            self.train(training)
        return results


def _seen_pairs(histories: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(row, item) of everything the histories hold."""
    counts = torch.tensor([len(history) for history in histories])
    rows = torch.repeat_interleave(torch.arange(len(histories)), counts)
    items = torch.tensor([item for history in histories for item in history])
    return rows.to(device), items.to(device)
