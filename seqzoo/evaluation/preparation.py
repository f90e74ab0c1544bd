"""Preparation of a measurement: the protocol with all metrics, and data read and filtered once."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from seqzoo.config import structure
from seqzoo.data.build import build_sequences
from seqzoo.data.datasets import source_name
from seqzoo.data.interactions import Interactions, k_core
from seqzoo.data.prepare import (
    COLUMN_SETTINGS,
    OF_TRAINING,
    DataConfig,
    load_data,
    load_prepared,
    log_summaries,
    settings_of_source,
)
from seqzoo.data.prepared import is_prepared
from seqzoo.data.readers.memory import InMemory
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import ChosenSplit, leaked_events
from seqzoo.errors import UsageError
from seqzoo.evaluation.data_match import data_match
from seqzoo.evaluation.held_out import HeldOut
from seqzoo.evaluation.lists import RecommendedLists
from seqzoo.evaluation.protocol import Protocol, get_protocol, split_of
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import CORE, catalogue

__all__ = [
    "Data",
    "PreparedData",
    "protocol_with_plugin_metrics",
    "trained_split",
    "warn_of_differences",
    "warn_of_unknown_items",
]

logger = logging.getLogger("seqzoo")

Data: TypeAlias = str | Path | Interactions | InMemory
"""What a model is measured on: a name, a path, interactions, or a table in memory."""


def protocol_with_plugin_metrics(name: str) -> Protocol:
    """A registered protocol, extended by every working metric of a plugin.

    Raises:
        UnknownNameError: no protocol has the name.
    """
    chosen = get_protocol(name)
    for spec in catalogue().metrics:
        names = chosen.metrics if spec.of == "ranks" else chosen.list_metrics
        if spec.plugin == CORE or spec.name in names:
            continue
        try:
            reason = _fault(spec.load(), spec.of)
        # A metric that was not requested must not prevent the measurement of the others.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if not reason:
            names.append(spec.name)
        else:
            logger.warning(
                "metric '%s' of plugin '%s' is left out: %s", spec.name, spec.plugin, reason
            )
    return chosen


def _fault(metric: Callable[..., Any], of: str) -> str:
    """What is wrong with the values of a metric, in a first try; empty if nothing is."""
    if of == "ranks":
        values = np.asarray(metric(np.arange(1.0, 4.0), 2), dtype=np.float64)
        works = values.shape == (3,) and bool(np.isfinite(values).all())
        return "" if works else "it does not give a finite number for each rank"
    lists = RecommendedLists(np.array([[1, 2], [2, 3]]), np.array([0, 3, 2, 1, 1]))
    value = metric(lists, 2)
    works = value is None or (np.ndim(value) == 0 and bool(np.isfinite(value)))
    return "" if works else "it does not give a finite number for the lists"


class PreparedData:
    """Data as described by the models' recipes, read once for all models with equal settings."""

    def __init__(self, data: Data, settings: Mapping[str, Any] | None = None) -> None:
        """Remember what to read; nothing is read yet.

        Args:
            data: the name of a data set, a path, interactions, or a table in memory.
            settings: fields of ``DataConfig`` that differ from those of the recipes.
        """
        self._data = data
        self._settings = dict(settings or {})
        self._read: dict[str, Interactions] = {}
        self._sorted: dict[tuple[str, int, str], SequenceData] = {}

    def minimum(self, model: SequenceModel, protocol: Protocol) -> int:
        """The k of the k-core filter for a model's data under a protocol.

        Raises:
            UsageError: the settings request a different k-core than the protocol's.
        """
        requested = self._settings.get("min_count")
        if protocol.min_count is not None and requested not in (None, protocol.min_count):
            raise UsageError(
                f"the protocol '{protocol.name}' uses the {protocol.min_count}-core, and "
                f"--min-count is {requested}; leave it out, or choose another --protocol"
            )
        section = self._section(model)
        return protocol.min_count or int(section.get("min_count", DataConfig.min_count))

    def of(self, model: SequenceModel, protocol: Protocol) -> SequenceData:
        """All interactions that a model is measured on, in the order of a protocol.

        Raises:
            UnknownNameError: the data set is not registered.
            DataError: the data cannot be read.
            UsageError: the settings request a different k-core than the protocol's.
        """
        minimum = self.minimum(model, protocol)
        # Models share what is read only if their recipes read the same: the source says so.
        interactions, source = self._data, ""
        if isinstance(interactions, str | Path) and is_prepared(interactions):
            return self._mapped(interactions, model, minimum, protocol.order)
        if not isinstance(interactions, Interactions):
            section = self._section(model)
            named = {**section, "source": source_name(interactions)}
            fields = asdict(structure(DataConfig, named, "data"))
            # These act on a table after it has been read, or only on training.
            for later in ("min_count", "order", "split", "fingerprint", *OF_TRAINING):
                del fields[later]
            source = json.dumps(fields, sort_keys=True)
            if source not in self._read:
                self._read[source] = load_data(interactions, section)
            interactions = self._read[source]
        key = (source, minimum, protocol.order)
        if key not in self._sorted:
            self._sorted[key] = build_sequences(k_core(interactions, minimum), order=protocol.order)
            log_summaries(self._sorted[key])
        return self._sorted[key]

    def split(self, model: SequenceModel, protocol: Protocol) -> ChosenSplit:
        """How a model's data are split under a protocol.

        The settings of the model's own split hold here too where it is the protocol's, so that a
        model is not tested on what it was trained on.

        Raises:
            ConfigError: a setting is unknown or has an invalid value.
        """
        trained = trained_split(model.recipe)
        own = trained.settings if trained is not None and trained.name == protocol.split else {}
        requested = structure(DataConfig, {"split": self._settings.get("split")}, "data").split
        return split_of(protocol, {**own, **(requested or {})})

    def _mapped(
        self, folder: str | Path, model: SequenceModel, minimum: int, order: str
    ) -> SequenceData:
        """Prepared data, checked and mapped into memory once."""
        key = ("prepared", minimum, order)
        if key not in self._sorted:
            section = {**self._section(model), "min_count": minimum, "order": order}
            config = structure(DataConfig, {**section, "source": str(folder)}, "data")
            self._sorted[key] = load_prepared(folder, config)
            log_summaries(self._sorted[key])
        return self._sorted[key]

    def _section(self, model: SequenceModel) -> dict[str, Any]:
        """What applies to these data of the recipe's data section, and the settings given here."""
        section = dict(model.recipe.get("data", {}))
        source = source_name(self._data)
        if not isinstance(self._data, Interactions) and source != section.get("source"):
            # Options are only for generated data. A file keeps the recipe's columns, as it usually
            # has the same source as the training data; a registered data set has its own columns.
            section.pop("options", None)
            if source in catalogue().datasets or is_prepared(source):
                for column in COLUMN_SETTINGS:
                    section.pop(column, None)
        return {**section, **settings_of_source(self._data), **self._settings}


def trained_split(recipe: Mapping[str, Any]) -> ChosenSplit | None:
    """The split that a recipe trains under: that of its first protocol; None if it is not known."""
    train = recipe.get("train")
    protocols = train.get("protocols") if isinstance(train, Mapping) else None
    name = protocols[0] if isinstance(protocols, list) and protocols else "loo-full"
    if name not in catalogue().protocols:
        return None
    section = recipe.get("data")
    settings = section.get("split") if isinstance(section, Mapping) else None
    checked = structure(DataConfig, {"split": settings}, "data").split
    return split_of(get_protocol(name), checked)


def warn_of_differences(
    model: SequenceModel, held_out: HeldOut, protocol: Protocol, *, name: str = ""
) -> None:
    """Warn if metrics may differ from the stored ones, or if test items were training items.

    Args:
        model: the model.
        held_out: what it is measured on.
        protocol: the protocol.
        name: name of the model in the warnings; empty for none.
    """
    about = f"{name}: " if name else ""
    record = model.metrics.get(protocol.name, {})
    match = data_match(
        record, held_out, uses_time=model.backbone.uses_time, features=model.reads.features
    )
    if match != "same":
        reason = {
            "timestamps": "the timestamps, which matter here, differ from those",
            "features": "the features of the events that the model reads differ from those",
            "split": "the settings of the split differ from those",
            "other": "the data differ from those",
        }[match]
        logger.warning(
            "%s%s of the stored metrics (%s): the metrics may differ",
            about,
            reason,
            record.get("data", {}).get("name", "unnamed"),
        )
    _warn_of_trained_targets(model, held_out, protocol, about)
    trained_on = model.recipe.get("data")
    trained = dict(trained_on).get("order", "time-row") if trained_on else protocol.order
    if trained != protocol.order:
        logger.warning(
            "%sthe model was trained on events in the order '%s' and %s tests in the order '%s': "
            "some of its test events were training events",
            about,
            trained,
            protocol.name,
            protocol.order,
        )


def _warn_of_trained_targets(
    model: SequenceModel, held_out: HeldOut, protocol: Protocol, about: str
) -> None:
    """Warn if a model that was trained under another split has learned from what is for testing."""
    trained, tested = trained_split(model.recipe), held_out.chosen
    if not model.recipe.get("data") or trained is None or trained == tested:
        return
    # Events can only be compared on the data that the model was trained on.
    data = held_out.data
    if dict(model.recipe["data"]).get("fingerprint") == data.fingerprint:
        leaked = leaked_events(data, trained, tested)
        if not leaked:
            return
        found = f"{leaked:,} events that are for testing here"
    elif trained.name == tested.name:
        return
    else:
        found = "events that may be for testing here"
    logger.warning(
        "%sthe model was trained under the split '%s', and %s tests under the split '%s': it has "
        "learned from %s, so the metrics may be too high",
        about,
        trained.name,
        protocol.name,
        tested.name,
        found,
    )


def warn_of_unknown_items(held_out: HeldOut, *, name: str = "") -> None:
    """Log how many interactions and held-out items a model does not know.

    Args:
        held_out: the data, read with the model's vocabulary.
        name: as ``warn_of_differences``.
    """
    about = f"{name}: " if name else ""
    if held_out.unknown_interactions:
        logger.warning(
            "%sthe model does not know the items of %d interactions and reads histories without "
            "them",
            about,
            held_out.unknown_interactions,
        )
    if held_out.unknown_targets and held_out.targets > held_out.users:
        logger.warning(
            "%sthe model does not know %d of %d held-out items, which count as misses",
            about,
            held_out.unknown_targets,
            held_out.targets,
        )
    elif held_out.unknown_targets:
        logger.warning(
            "%sthe model does not know the held-out item of %d of %d users, which counts as a miss",
            about,
            held_out.unknown_targets,
            held_out.users,
        )
