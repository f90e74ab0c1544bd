"""Sequences from interactions: each user's, sorted by time, with items as indices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.counting import frequencies, rows_by_user
from seqzoo.data.features import recoded
from seqzoo.data.fingerprints import fingerprints_of
from seqzoo.data.interactions import Interactions
from seqzoo.data.sequences import Int32s, Int64s, SequenceData, Sequences
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, DataError, nearest

__all__ = [
    "ORDERS",
    "build_sequences",
]

ORDERS = ("time-row", "float32-time-row")


def build_sequences(
    interactions: Interactions, *, vocabulary: Vocabulary | None = None, order: str = "time-row"
) -> SequenceData:
    """Sort the interactions of each user by timestamp, then by row, and index the items.

    Users come in the order of their first row. Fractions of a second order the events; the
    timestamps of the result are whole seconds.

    The fingerprints cover all interactions, including those with items that a given vocabulary
    lacks. They depend on who interacted with which items in which order and when, and on the
    features of the events, but not on the order of the users, of the vocabulary, or of the rows;
    only rows of one user with the same timestamp are ordered by their row.

    Args:
        interactions: the table.
        vocabulary: the items by index; by default the items in order of first appearance.
            Interactions with items that it lacks are dropped and counted.
        order: ``time-row``; or ``float32-time-row``, which first rounds the timestamps to float32
            (to 128 seconds, before 2004 to 64), as RecBole does, for metrics that are comparable
            with RecBole's.

    Raises:
        DataError: no item of the data is in the vocabulary.
        ConfigError: the order is unknown.
    """
    if order not in ORDERS:
        raise ConfigError(
            f"the order '{order}' is unknown{nearest(order, ORDERS)}; expected one of: "
            f"{', '.join(ORDERS)}"
        )
    found = _sorted(interactions, order)
    columns = interactions.features
    known_values = {name: column.known for name, column in columns.items()}
    hashes = fingerprints_of(
        interactions.user_ids,
        interactions.item_ids,
        found.offsets,
        found.codes,
        found.timestamps,
        found.features,
        known_values,
    )
    users, dropped = interactions.user_ids.to_list(), 0
    item_names = interactions.item_ids.to_list()
    if vocabulary is None:
        labels = [interactions.labels.get(item) for item in item_names]
        vocabulary = Vocabulary(item_names, labels if any(labels) else None)
        if columns:
            vocabulary = vocabulary.with_features(known_values)
        items = found.codes
        items += 1  # in place: the table may be large
        sequences = Sequences(items, found.timestamps, found.offsets, found.features)
    else:
        sequences, present = _of_known_items(found, interactions, vocabulary)
        users = [name for name, here in zip(users, present, strict=True) if here]
        dropped = len(found.codes) - len(sequences.items)
    return SequenceData(
        sequences=sequences,
        vocabulary=vocabulary,
        users=tuple(users),
        name=interactions.name,
        fingerprint=hashes.everything,
        fingerprints=hashes.parts,
        dropped=dropped,
        summaries=interactions.summaries,
        categories=interactions.categories,
    )


@dataclass(frozen=True)
class _Sorted:
    """As ``Sequences``, but with codes of items, which begin at 0."""

    codes: Int32s
    timestamps: Int64s | None
    offsets: Int64s
    features: dict[str, npt.NDArray[Any]]


def _sorted(interactions: Interactions, order: str) -> _Sorted:
    """The interactions of each user, in order."""
    positions, fractions = interactions.order, interactions.fractions
    times = positions
    keys: tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None] = (positions, fractions)
    if order == "float32-time-row" and interactions.has_times:
        exact = positions if fractions is None else positions + fractions
        rounded = exact.astype(np.float32)
        times = np.floor(rounded).astype(np.int64)
        keys = (rounded, None)
    rows = rows_by_user(interactions.users, *keys)
    lengths = frequencies(interactions.users, interactions.num_users)
    return _Sorted(
        interactions.items[rows],
        times[rows] if interactions.has_times else None,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        {name: column.values[rows] for name, column in interactions.features.items()},
    )


def _of_known_items(
    found: _Sorted, interactions: Interactions, vocabulary: Vocabulary
) -> tuple[Sequences, npt.NDArray[np.bool_]]:
    """The sequences without the items that a vocabulary lacks, and which users still have one.

    Raises:
        DataError: it lacks all of them.
    """
    item_names = interactions.item_ids.to_list()
    index_of_code = np.asarray(
        [vocabulary.index(item) if item in vocabulary else 0 for item in item_names],
        dtype=np.int32,
    )
    indices = index_of_code[found.codes]
    known = indices > 0
    if not known.any():
        raise DataError(
            f"{interactions.name}: none of its {len(item_names)} items is among the "
            f"{len(vocabulary)} of the vocabulary (data: '{item_names[0]}', vocabulary: "
            f"'{vocabulary.items[0]}'); expected data with the same item ids"
        )
    features = recoded(
        {name: values[known] for name, values in found.features.items()},
        {name: column.known for name, column in interactions.features.items()},
        vocabulary.features,
    )
    timestamps = None if found.timestamps is None else found.timestamps[known]
    # Users without a known item have no sequence.
    ends = np.concatenate([[0], np.cumsum(known)])[found.offsets]
    present = np.diff(ends) > 0
    offsets = np.concatenate([[0], ends[1:][present]]).astype(np.int64)
    return Sequences(indices[known], timestamps, offsets, features), present
