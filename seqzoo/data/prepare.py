"""The ``data`` section of a recipe, and reading the data that it names."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seqzoo.config import structure
from seqzoo.data.build import ORDERS, build_sequences
from seqzoo.data.datasets import load_interactions, source_name
from seqzoo.data.features import MOST_FEATURES
from seqzoo.data.interactions import Interactions, k_core
from seqzoo.data.prepared import PreparedFolder, is_prepared
from seqzoo.data.readers.memory import InMemory
from seqzoo.data.sequences import SequenceData
from seqzoo.errors import ConfigError, UsageError, nearest
from seqzoo.plugins import catalogue

__all__ = [
    "COLUMN_SETTINGS",
    "OF_TRAINING",
    "DataConfig",
    "load_data",
    "load_prepared",
    "log_summaries",
    "prepare",
    "settings_of_source",
]

logger = logging.getLogger("seqzoo")

COLUMN_SETTINGS = ("user_col", "item_col", "time_col", "label_col")
"""The fields of :class:`DataConfig` that name columns."""
OF_TRAINING = ("replay_source", "item_features", "item_columns")
"""The fields that matter only to training."""


@dataclass
class DataConfig:
    """Which interactions, and how they are filtered.

    Attributes:
        source: name of a data set, a path, or ``a table in memory`` if one was passed directly.
        min_count: k of the iterative k-core filter on users and items; 1 keeps everything.
        user_col: column of user ids; None finds it by common names.
        item_col: column of item ids; None finds it by common names.
        time_col: column of timestamps; None finds it by common names, an empty string uses the
            order of the rows.
        label_col: column of item titles; None finds it by common names.
        features: columns of the events that the model reads: text, or numbers.
        order: ``time-row``, or ``float32-time-row`` for RecBole's order of events.
        split: settings of the protocol's split, for example ``share`` of the split by time; None
            keeps those of the protocol.
        options: settings of a generated data set.
        fingerprint: fingerprint of the prepared data; training writes it.
        replay_source: older events of the same users, by name or path, for a run that continues
            from a checkpoint: the data that the checkpoint was trained on. They are read with the
            same columns and are the context of the newer events. Only newer events are targets,
            except for the older ones that ``train.replay`` draws.
        item_features: features of the items, for an embedder that reads them: a file with the item
            ids, ``labels`` for the titles of the data, or ``a table in memory``.
        item_columns: the kind of each feature by column, ``text``, ``category``, ``categories``,
            ``number`` or ``vector``; None takes all columns and infers their kinds.
    """

    source: str = ""
    min_count: int = 5
    user_col: str | None = None
    item_col: str | None = None
    time_col: str | None = None
    label_col: str | None = None
    features: list[str] | None = None
    order: str = "time-row"
    split: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    replay_source: str | None = None
    item_features: str | None = None
    item_columns: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if len(self.features or ()) > MOST_FEATURES:
            raise ConfigError(
                f"setting 'features' names {len(self.features or ())} columns; expected at most "
                f"{MOST_FEATURES}"
            )
        if self.min_count < 1:
            raise ConfigError(f"setting 'min_count' is {self.min_count}; expected 1 or more")
        if self.order not in ORDERS:
            raise ConfigError(
                f"setting 'order' is '{self.order}'{nearest(self.order, ORDERS) or ';'} "
                f"expected one of: {', '.join(ORDERS)}"
            )

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are named, by setting."""
        named = {key: getattr(self, key) for key in COLUMN_SETTINGS}
        return {key: column for key, column in named.items() if column is not None}


def load_data(
    source: str | Path | Interactions | InMemory, settings: Mapping[str, Any]
) -> Interactions:
    """Read the interactions of a source with the column names of a recipe's data section.

    Args:
        source: a name, a path, a table in memory or interactions, see :func:`load_interactions`.
        settings: fields of :class:`DataConfig`; their ``source`` is ignored.

    Raises:
        ConfigError: a setting is unknown or has the wrong type.
        SeqzooError: as :func:`load_interactions`.
    """
    config = structure(DataConfig, {**settings, "source": source_name(source)}, "data")
    return load_interactions(
        source,
        specs=catalogue().datasets,
        user_col=config.user_col,
        item_col=config.item_col,
        time_col=config.time_col,
        label_col=config.label_col,
        features=config.features or (),
        options=config.options or None,
    )


def settings_of_source(source: object) -> dict[str, Any]:
    """The settings that a source fixes: ``min_count`` and ``order`` of prepared data, else none.

    Raises:
        DataError: the prepared data are damaged.
    """
    return PreparedFolder.open(str(source)).settings if is_prepared(source) else {}


def load_prepared(source: str | Path, config: DataConfig) -> SequenceData:
    """Map prepared data into memory, if they were prepared with the settings of a recipe.

    Args:
        source: the folder.
        config: the recipe's data section.

    Raises:
        UsageError: the section names columns or options, which prepared data lack.
        DataError: the data were prepared with other settings, or are damaged.
    """
    if config.columns:
        raise UsageError(
            f"{source} holds prepared data, whose columns are chosen already; leave out "
            f"{', '.join(config.columns)}, or give them to `seqzoo data prepare`"
        )
    if config.options:
        raise UsageError(f"{source} holds prepared data, which take no options; leave them out")
    folder = PreparedFolder.open(source)
    return folder.load(min_count=config.min_count, order=config.order, features=config.features)


def log_summaries(data: SequenceData) -> None:
    """Log the interactions as read and after each filter."""
    for summary in data.summaries:
        logger.info("%s, %s: %s", data.name, summary.stage, summary.text())


def prepare(
    config: DataConfig, data: str | Path | Interactions | InMemory | None = None
) -> SequenceData:
    """Read, filter and sort the interactions that a recipe names, and index their items.

    Prepared data are mapped into memory instead, see :mod:`seqzoo.data.prepared`.

    Args:
        config: the recipe's data section.
        data: data to read instead of ``config.source``, for tables in memory; the section then has
            ``source_name(data)`` as its source.

    Raises:
        SeqzooError: as :func:`load_interactions`, :func:`build_sequences` and
            :func:`load_prepared`.
    """
    source = config.source if data is None else data
    if isinstance(source, str | Path) and is_prepared(source):
        return load_prepared(source, config)
    interactions = load_data(source, asdict(config))
    return build_sequences(k_core(interactions, config.min_count), order=config.order)
