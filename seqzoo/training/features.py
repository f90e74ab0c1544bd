"""The features of the items that a run's model reads."""

import logging
from dataclasses import replace
from typing import Any

from seqzoo.data.item_table import LABELS_KINDS, ItemTable, aligned, table_of_labels
from seqzoo.data.readers.item_features import read_item_features
from seqzoo.data.sequences import SequenceData
from seqzoo.errors import DataError
from seqzoo.model.extend import extended_features
from seqzoo.training.recipe import Recipe

__all__ = ["LABELS", "with_item_features"]

logger = logging.getLogger("seqzoo")

LABELS = "labels"
"""The value of ``data.item_features`` for the titles of the data."""


def with_item_features(recipe: Recipe, data: SequenceData, given: Any = None) -> SequenceData:
    """The data with the item features that a recipe names, if it names any.

    A run that continues from a checkpoint keeps the features of its items. New items get theirs
    from what the recipe names, or none.

    Args:
        recipe: its section ``data`` names the features.
        data: the data.
        given: what to read instead of ``data.item_features``.

    Raises:
        DataError: the features cannot be read, or none of the items has any.
        UsageError: the start's model reads no features, and some are given.
    """
    config = recipe.data
    source = config.item_features if given is None else given
    if recipe.start is not None:
        named = None if isinstance(source, str) and source == LABELS else source
        table = extended_features(recipe.start.model, data.vocabulary, named)
    elif source is None:
        return data
    elif isinstance(source, str) and source == LABELS:
        table = _of_labels(data)
    else:
        ids, columns = read_item_features(source, config.item_columns, config.item_col)
        table = aligned(columns, ids, data.vocabulary.items)
    if table is not None:
        logger.info("%s, item features: %s", data.name, table.described())
    return replace(data, item_features=table)


def _of_labels(data: SequenceData) -> ItemTable:
    if data.vocabulary.labels is None:
        raise DataError(
            f"{data.name} has no titles, which data.item_features=labels takes as features "
            f"({', '.join(LABELS_KINDS)}); name their column (--label-col COLUMN), or give a file "
            "(--item-features FILE)"
        )
    return table_of_labels(data.vocabulary.labels)
