"""The checkpoint that a run starts from: its weights, its items in their order, and its recipe.

``seqzoo train CHECKPOINT --data NEWER`` continues training on newer data. The run's recipe is that
of the checkpoint with the changes given, see :meth:`Start.defaults`.
"""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqzoo.checkpoint.find import open_located
from seqzoo.checkpoint.hub.address import SCHEME
from seqzoo.checkpoint.pins import known_checkpoints
from seqzoo.config import without_replaced_loss
from seqzoo.data.datasets import source_name
from seqzoo.data.features import recoded
from seqzoo.data.item_table import ItemTable
from seqzoo.data.prepare import COLUMN_SETTINGS
from seqzoo.data.prepared import is_prepared
from seqzoo.data.sequences import SequenceData
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, TrainingError, UsageError
from seqzoo.model.extend import with_items
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from seqzoo.validation import looks_like_path, name_of

__all__ = ["NOT_INHERITED", "Start", "names_checkpoint"]

logger = logging.getLogger("seqzoo")

NOT_INHERITED: dict[str, Any] = {
    "epochs": 10,
    "schedule": "linear",
    "warmup": 0.0,
    "patience": 3,
    # Older events and frozen parts are chosen for one run; data.replay_source is not inherited.
    "freeze": [],
    "replay": 0.0,
}
"""Training settings that a continued run does not take from its start's recipe."""

_OF_DATA = (*COLUMN_SETTINGS, "order", "features")
"""Settings of the start's data that newer data share."""


@dataclass(frozen=True)
class Start:
    """The checkpoint that a run starts from.

    Attributes:
        source: its name, its folder, or its address on the Hub with the commit.
        sha256: of its ``config.json``, which records every other file.
        model: the model with its weights.
    """

    source: str
    sha256: str
    model: SequenceModel = field(compare=False, repr=False)

    @classmethod
    def open(cls, given: Any) -> "Start":
        """Read and check the checkpoint.

        Args:
            given: its name, its folder or its address, or a mapping with this as ``source`` and the
                expected ``sha256``.

        Raises:
            UnknownNameError, CheckpointError, HubError: as ``seqzoo.load`` does.
            TrainingError: its sha256 is not the expected one.
            UsageError: the mapping has other keys, or a value is not a string.
        """
        expected: object = None
        if isinstance(given, Mapping):
            unknown = given.keys() - {"source", "sha256"}
            if unknown or "source" not in given:
                raise UsageError(
                    f"start has the keys {', '.join(map(str, given))}; expected source, the name "
                    "or the folder of a checkpoint, and sha256 if it is known"
                )
            given, expected = given["source"], given.get("sha256")
        source = name_of("start", given)
        if isinstance(given, Path) and not looks_like_path(source):
            source = os.path.join(".", source)  # a bare string would be a registered name
        checkpoint, address = open_located(source)
        if source.startswith(SCHEME) and address is not None:
            source = str(address)
        found = checkpoint.manifest.sha256
        if expected is not None and found != expected:
            raise TrainingError(
                f"the start {source} has the sha256 {found}; the recipe started from {expected}: "
                "the checkpoint has changed since; give the one that the recipe names, or remove "
                "start.sha256 from the recipe"
            )
        return cls(source, found, SequenceModel.from_checkpoint(checkpoint))

    @property
    def folder(self) -> Path | None:
        """Its folder, if it is not a registered name or on the Hub."""
        return Path(self.source).expanduser() if looks_like_path(self.source) else None

    def to_dict(self) -> dict[str, str]:
        """Plain values, as in ``recipe.yaml``."""
        return {"source": self.source, "sha256": self.sha256}

    def defaults(
        self, sections: Mapping[str, Mapping[str, Any]], settings: Collection[str], source: object
    ) -> dict[str, dict[str, Any]]:
        """The sections ``model``, ``data`` and ``train`` of a run that continues from the start.

        What is given wins over what follows:

        - ``model`` is the start's, but for the options of its loss if another loss is given.
        - ``data`` has the start's columns (not for registered or prepared data, whose columns are
          known) and order, and no k-core: the newer events of known items are few, and none is
          left out.
        - ``train`` is the start's but for ``NOT_INHERITED``, with the default number of threads.

        Args:
            sections: what is given, by section.
            settings: names of the training settings of this version.
            source: the newer data.
        """
        before = self.model.recipe
        data = {"min_count": 1}
        columns = {k: v for k, v in before.get("data", {}).items() if k in _OF_DATA}
        named = source_name(source) if source is not None else ""  # type: ignore[arg-type]
        if named in catalogue().datasets or is_prepared(named):
            columns = {k: v for k, v in columns.items() if k not in COLUMN_SETTINGS}
        train = {k: v for k, v in before.get("train", {}).items() if k in settings}
        train.pop("threads", None)
        return {
            "model": {
                **without_replaced_loss(self.model.config, sections["model"]),
                **sections["model"],
            },
            "data": {**data, **columns, **sections["data"]},
            "train": {**train, **NOT_INHERITED, **sections["train"]},
        }

    def check_architecture(self, name: str) -> str:
        """The architecture of the start, which a recipe may repeat.

        Raises:
            ConfigError: the recipe names another one.
        """
        if name not in ("", self.model.architecture):
            raise ConfigError(
                f"the start {self.source} is a {self.model.architecture}, the recipe's "
                f"architecture is {name}; leave out the architecture, or train it from new weights"
            )
        return self.model.architecture

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Check that the weights fit changed settings of the model, before any data are read.

        Raises:
            ConfigError: they do not; names the setting.
            UsageError: the model learns by counting, not by gradient descent.
        """
        if self.model.head.closed_form or dict(settings) != self.model.config:
            own = self.model
            with_items(own, own.vocabulary, settings=settings, item_features=own.item_features)

    def with_new_items(self, data: SequenceData) -> SequenceData:
        """The data under the start's vocabulary, with the items that it lacks at its end."""
        own, found = self.model.vocabulary, data.vocabulary
        new = [item for item in found.items if item not in own]
        labels = _labels(own, found, new)
        vocabulary = Vocabulary([*own.items, *new], labels, features=own.features)
        index = np.asarray([0, *map(vocabulary.index, found.items)], dtype=np.int32)
        before = data.sequences
        features = recoded(before.features, found.features, own.features)
        sequences = replace(before, items=index[before.items], features=features)
        return replace(data, sequences=sequences, vocabulary=vocabulary)

    def model_for(
        self,
        vocabulary: Vocabulary,
        settings: Mapping[str, Any],
        item_features: ItemTable | None,
        seed: int,
    ) -> SequenceModel:
        """The start's weights in a model for a vocabulary, with rows for the new items.

        Args:
            vocabulary: its items, then the new ones, with the counts of the newer data.
            settings: resolved settings of the model.
            item_features: the features of all items, if the model reads any.
            seed: the seed of the new rows.

        Raises:
            ConfigError: the weights do not fit the settings; names the setting.
        """
        before = self.model.vocabulary.counts or ()
        counts = np.asarray(vocabulary.counts, dtype=np.int64)
        counts[: len(before)] += np.asarray(before, dtype=np.int64)
        counted = vocabulary.with_counts(counts.tolist())
        model = with_items(
            self.model, counted, settings=settings, item_features=item_features, seed=seed
        )
        model.recipe, model.metrics, model.provenance = {}, {}, None
        return model

    def new_items(self, vocabulary: Vocabulary) -> int:
        """How many items a vocabulary has that the start does not know."""
        return len(vocabulary) - len(self.model.vocabulary)

    def notes(self, vocabulary: Vocabulary) -> list[str]:
        """What to tell the user at the beginning of the run."""
        added = self.new_items(vocabulary)
        items = f"{len(self.model.vocabulary):,} items in their order and {added:,} new ones"
        return [f"continuing from {self.source} (sha256 {self.sha256[:12]}…): {items}"]


def names_checkpoint(what: str) -> bool:
    """Whether an argument of ``seqzoo train`` is a checkpoint, not an architecture or a recipe."""
    if what.startswith(SCHEME) or looks_like_path(what):
        return True
    return what in known_checkpoints() and what not in catalogue().architectures


def _labels(own: Vocabulary, found: Vocabulary, new: Sequence[str]) -> list[str | None] | None:
    """The start's titles, completed by those of the newer data; None if no item has one."""
    if own.labels is None and found.labels is None:
        return None
    titles = dict(zip(found.items, found.labels or (), strict=False))
    known = own.labels or [None] * len(own)
    labels = [label or titles.get(item) for item, label in zip(own.items, known, strict=True)]
    return [*labels, *map(titles.get, new)]
