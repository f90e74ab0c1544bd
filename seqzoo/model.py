"""``SequenceModel``: embedder, backbone, head and vocabulary as one module that recommends."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from seqzoo.config import choose_head, model_config, part_config, parts_of
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UnknownItemError, UsageError, nearest
from seqzoo.inputs import list_of, read_times, whole_number
from seqzoo.interfaces import Backbone, Embedder, Head, SequenceBatch
from seqzoo.plugins import catalogue

if TYPE_CHECKING:
    from seqzoo.streaming.session import Session

logger = logging.getLogger("seqzoo")

_WHOLE_HISTORY = 2**31 - 1

History = Sequence[str]
"""Item ids of one user, oldest first."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item: its id, the model's score and its title where the model knows one."""

    item: str
    score: float
    label: str | None = None


class SequenceModel(nn.Module):
    """A model of histories that takes and returns the user's own item ids.

    Attributes:
        architecture: registered name.
        config: resolved settings, flat.
        vocabulary: the items it knows, in index order.
        embedder, backbone, head: the three parts.
        recipe: what trained it, as in ``recipe.yaml``; empty for fresh weights.
        metrics: stored figures by protocol, as in ``metrics.json``; empty for fresh weights.
        origin: what a checkpoint's recipe and figures are of; None for fresh weights.
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
        self.origin: object = None

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
            # A plugin's embedder need not have the setting; what cannot take more still bounds it.
            length = self.embedder.max_length or self.backbone.max_length or _WHOLE_HISTORY
        return int(length)

    @property
    def num_parameters(self) -> int:
        """Number of trained numbers."""
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
            exclude_seen: leave out what the history holds (all of it, not only what is read).
            candidates: ids to choose from; the whole catalogue where None.
            timestamps: unix seconds of each event, where the model uses times.
            batch_size: how many histories are scored at once.
            on_unknown: ``skip`` leaves items out that the model does not know, ``error`` refuses.

        Raises:
            UnknownItemError: an unknown candidate, a history without a known item, or an unknown
                item under ``on_unknown="error"``.
            UsageError: ``k`` out of range, an empty history, or times that do not match the items.
        """
        allowed = self._check_choice(k, candidates)
        encoded = self._encode_ids(histories, timestamps, on_unknown)
        results: list[list[Recommendation]] = [[] for _ in encoded]
        for rows, hidden in self._encode_batches(encoded, batch_size):
            seen = [encoded[row][0] for row in rows] if exclude_seen else None
            for row, found in zip(rows.tolist(), self._best(hidden, k, seen, allowed), strict=True):
                results[row] = found
        return results

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

    def session(self, saved: str | PathLike[str] | None = None) -> "Session":
        """A session of one user, one event at a time.

        Args:
            saved: folder of a session that goes on; a new one where None.

        Raises:
            UsageError: the backbone cannot stream, or the folder holds no session of this model.
        """
        from seqzoo.streaming.session import Session  # above this module

        return Session(self) if saved is None else Session.restore(self, saved)

    def _check_choice(self, k: int, candidates: Sequence[str] | None) -> Tensor | None:
        """Check ``k``, and turn candidates into their indices."""
        whole_number("k", k, 1, len(self.vocabulary), ", the number of items of the model")
        if candidates is None:
            return None
        ids = list(candidates) if isinstance(candidates, Set) else candidates
        known, unknown = self.vocabulary.encode(list_of("candidates", "item ids", ids))
        if unknown or not len(known):
            self._refuse_unknown("candidates", unknown)
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
    ) -> list[tuple[list[int], list[int] | None]]:
        """Item indices and times of each history, unknown items left out."""
        if on_unknown not in ("skip", "error"):
            raise UsageError(f"on_unknown is '{on_unknown}'; expected 'skip' or 'error'")
        rows = list_of("histories", "histories", histories)
        times_of = [None] * len(rows)
        if timestamps is not None:
            times_of = list_of("timestamps", "lists of unix seconds", timestamps)
        if len(times_of) != len(rows):
            raise UsageError(
                f"{len(times_of)} lists of timestamps for {len(rows)} histories; "
                "give one list for each history"
            )
        if self.backbone.uses_time and timestamps is None:
            logger.warning(
                "%s uses times and none were given: all events are taken as simultaneous",
                self.architecture,
            )
        encoded = []
        for given, given_times in zip(rows, times_of, strict=True):
            history = list_of("a history", "item ids", given)
            if not history:
                raise UsageError("the history is empty; give at least one item id")
            times = None if timestamps is None else read_times(given_times, len(history))
            known, unknown = self.vocabulary.encode(history)
            if unknown and (on_unknown == "error" or not len(known)):
                self._refuse_unknown("history", unknown)
            if unknown:
                logger.info("items the model does not know were left out: %s", ", ".join(unknown))
                if times is not None:
                    missing = set(unknown)
                    times = [
                        time
                        for item, time in zip(history, times, strict=True)
                        if item not in missing
                    ]
            encoded.append((known.tolist(), times))
        return encoded

    def _refuse_unknown(self, what: str, unknown: list[str]) -> None:
        shown = ", ".join(repr(item) for item in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        example = ", ".join(self.vocabulary.items[:3])
        hint = nearest(unknown[0], self.vocabulary.items[:50_000]) if unknown else ""
        raise UnknownItemError(
            f"{what}: item ids the model does not know: {shown or 'none given'}{more}{hint}; "
            f"its ids look like {example} (all of them are in vocabulary.json)"
        )

    def _encode_batches(
        self, encoded: list[tuple[list[int], list[int] | None]], batch_size: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Row numbers and user vectors of batches of similar length, so that little is padded."""
        batch_size = whole_number("batch_size", batch_size, 1)
        window = self.max_length
        order = sorted(range(len(encoded)), key=lambda row: min(len(encoded[row][0]), window))
        results = []
        training = self.training
        self.eval()
        try:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                times = [encoded[row][1] for row in rows]
                batch = SequenceBatch.from_histories(
                    [encoded[row][0][-window:] for row in rows],
                    None
                    if any(time is None for time in times)
                    else [time[-window:] for time in times if time is not None],
                )
                with torch.inference_mode():
                    results.append((torch.tensor(rows), self.last(batch.to(self.device))))
        finally:
            self.train(training)
        return results

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write a checkpoint folder, with the recipe and the figures that are of these weights."""
        from seqzoo.checkpoint.checkpoint import save_model  # above this module

        save_model(folder, self)

    def push_to_hub(self, repo: str, *, private: bool | None = None) -> str:
        """Publish the model as ``org/name``, as ``seqzoo.push`` does; the commit's address."""
        from seqzoo.zoo import push  # above this module

        return str(push(self, repo, private=private).address)

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], device: str = "cpu") -> "SequenceModel":
        """What ``seqzoo.load`` does."""
        from seqzoo.zoo import load  # above this module

        return load(name, device=device)


def _seen_pairs(histories: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(row, item) of everything the histories hold."""
    counts = torch.tensor([len(history) for history in histories])
    rows = torch.repeat_interleave(torch.arange(len(histories)), counts)
    items = torch.tensor([item for history in histories for item in history])
    return rows.to(device), items.to(device)


def build_model(
    architecture: str, settings: Mapping[str, Any], vocabulary: Vocabulary
) -> SequenceModel:
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
    everything = catalogue()
    spec = everything.architectures.get(architecture)
    config = model_config(spec, settings, everything)
    chosen = choose_head(spec, config, everything)
    embedder_spec, backbone_spec, head_spec = parts_of(chosen, everything)

    def part(part_spec: Any, *arguments: Any) -> Any:
        return part_spec.load()(part_config(part_spec.load_config(), config), *arguments)

    embedder = part(embedder_spec, len(vocabulary))
    backbone = part(backbone_spec)
    head = part(head_spec, embedder)
    return SequenceModel(architecture, config, vocabulary, embedder, backbone, head)
