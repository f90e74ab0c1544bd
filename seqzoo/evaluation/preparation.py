"""What a model is measured with: the protocol with all its metrics, and the data it reads."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from seqzoo.config import structure
from seqzoo.data.interactions import Interactions, k_core
from seqzoo.data.prepare import DataConfig, load_data
from seqzoo.data.sequences import SequenceData, build_sequences
from seqzoo.errors import UsageError
from seqzoo.evaluation.protocol import Protocol, get_protocol
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import CORE, catalogue

logger = logging.getLogger("seqzoo")


def protocol_with_plugin_metrics(name: str) -> Protocol:
    """A registered protocol, which also measures every metric that plugins bring and that works.

    Raises:
        UnknownNameError: no protocol has the name.
    """
    chosen = get_protocol(name)
    chosen.metrics = [*chosen.metrics, *_metrics_of_plugins(chosen)]
    return chosen


class PreparedData:
    """Data as the recipes of models say, read and filtered once for all that say the same."""

    def __init__(
        self, data: str | Path | Interactions, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Note what is to be read; nothing is read yet.

        Args:
            data: the name of a data set, a path, or interactions.
            settings: fields of ``DataConfig`` that differ from those of the recipes.
        """
        self._data = data
        self._settings = dict(settings or {})
        self._read: dict[str, Interactions] = {}
        self._filtered: dict[tuple[str, int], Interactions] = {}

    def minimum(self, model: SequenceModel, protocol: Protocol) -> int:
        """The k of the k-core filter that a model's data pass through under a protocol.

        Raises:
            UsageError: the settings ask for another k-core than the protocol fixes.
        """
        asked = self._settings.get("min_count")
        if protocol.min_count is not None and asked not in (None, protocol.min_count):
            raise UsageError(
                f"the protocol '{protocol.name}' uses the {protocol.min_count}-core, and "
                f"--min-count is {asked}; leave it out, or choose another --protocol"
            )
        section = self._section(model)
        return protocol.min_count or int(section.get("min_count", DataConfig.min_count))

    def of(self, model: SequenceModel, protocol: Protocol) -> SequenceData:
        """The data as indices of a model's vocabulary, in the order of a protocol.

        Raises:
            UnknownNameError: the data set is not registered.
            DataError: the data cannot be read or hold no item of the model.
            UsageError: the settings ask for another k-core than the protocol fixes.
        """
        minimum = self.minimum(model, protocol)
        key, interactions = self._interactions(self._section(model))
        if (key, minimum) not in self._filtered:
            self._filtered[key, minimum] = k_core(interactions, minimum)
        return build_sequences(
            self._filtered[key, minimum], vocabulary=model.vocabulary, order=protocol.order
        )

    def _section(self, model: SequenceModel) -> dict[str, Any]:
        return {**_section_for(self._data, model.recipe.get("data", {})), **self._settings}

    def _interactions(self, section: Mapping[str, Any]) -> tuple[str, Interactions]:
        """The unfiltered table, and what tells it from those of other sections."""
        if isinstance(self._data, Interactions):
            return "", self._data
        source = str(self._data)
        fields = asdict(structure(DataConfig, {**section, "source": source}, "data"))
        # What is done to a table after it has been read makes it no other table.
        for later in ("min_count", "order", "fingerprint"):
            del fields[later]
        key = json.dumps(fields, sort_keys=True)
        if key not in self._read:
            self._read[key] = load_data(source, section)
        return key, self._read[key]


def warn_of_differences(
    model: SequenceModel, prepared: SequenceData, protocol: Protocol, *, name: str = ""
) -> None:
    """Log why measured figures may differ from the stored ones, or be too good to be true.

    Args:
        model: what is measured.
        prepared: what it is measured on.
        protocol: how.
        name: whom the warnings are about; nobody is named where it is empty.
    """
    about = f"{name}: " if name else ""
    stored_data = model.metrics.get(protocol.name, {}).get("data", {})
    if stored_data and stored_data.get("fingerprint") != prepared.fingerprint:
        logger.warning(
            "%sthese are not the data of the stored figures (%s): figures may differ",
            about,
            stored_data.get("name", "unnamed"),
        )
    trained_on = model.recipe.get("data")
    trained = dict(trained_on).get("order", "time-row") if trained_on else protocol.order
    if trained != protocol.order:
        logger.warning(
            "%sthe model was trained on events in the order '%s' and %s tests in the order '%s': "
            "some of what it is tested on was trained on",
            about,
            trained,
            protocol.name,
            protocol.order,
        )
    if prepared.dropped:
        logger.warning(
            "%s%d interactions with items the model does not know were left out",
            about,
            prepared.dropped,
        )


def _metrics_of_plugins(protocol: Protocol) -> list[str]:
    """Metrics that plugins bring and that work, besides those that the protocol names."""
    found = []
    for spec in catalogue().metrics:
        if spec.plugin == CORE or spec.name in protocol.metrics:
            continue
        try:
            values = np.asarray(spec.load()(np.arange(1.0, 4.0), 2), dtype=np.float64)
            works = values.shape == (3,) and bool(np.isfinite(values).all())
            reason = "" if works else "it gives no finite number for each place"
        # A metric that nobody asked for must not keep the others from being measured.
        except Exception as error:
            works, reason = False, f"{type(error).__name__}: {error}"
        if works:
            found.append(spec.name)
        else:
            logger.warning(
                "metric '%s' of plugin '%s' is left out: %s", spec.name, spec.plugin, reason
            )
    return found


def _section_for(data: str | Path | Interactions, trained_on: Mapping[str, Any]) -> dict[str, Any]:
    """What of the recipe's data section holds for the data that are to be measured on."""
    section = dict(trained_on)
    if isinstance(data, Interactions) or str(data) == section.get("source"):
        return section
    # Settings of generated data are of no other data. A file keeps the recipe's columns, as it
    # most often comes from where the training data came; a registered data set has its own.
    section.pop("options", None)
    if str(data) in catalogue().datasets:
        for column in ("user_col", "item_col", "time_col", "label_col"):
            section.pop(column, None)
    return section
