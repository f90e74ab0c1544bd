"""Join older and newer interactions of the same users, so that newer events have their context."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.data.features import Values, recoded
from seqzoo.data.fingerprints import fingerprints_of
from seqzoo.data.sequences import SequenceData, Sequences
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError

__all__ = ["Int64s", "joined"]

Int64s = npt.NDArray[np.int64]


def joined(older: SequenceData, newer: SequenceData, known: Vocabulary) -> SequenceData:
    """The histories of all users of either data: older events, then newer ones.

    Where both have timestamps, the events of a user are sorted by them; among equal ones the older
    data's come first. Older events with items that neither the model nor the newer data know are
    left out, because the model's own training left them out.

    Args:
        older: the data before the newer ones.
        newer: the newer data, which name the result and have its summaries.
        known: the items of a model.

    Returns:
        The joined data, whose ``new_from`` is the position of each user's first newer event.

    Raises:
        DataError: only one of them has timestamps, or the older data hold the newer events too.
    """
    if (older.sequences.timestamps is None) != (newer.sequences.timestamps is None):
        bare = older if older.sequences.timestamps is None else newer
        raise DataError(
            f"{bare.name} has no timestamps and the other data have: older and newer events cannot "
            "be joined; give both with timestamps, or both in the order of their events"
        )
    items, own_items = _union(newer.vocabulary.items, older.vocabulary.items)
    users, own_users = _union(newer.users, older.users)
    stays = np.asarray([item in known or item in newer.vocabulary for item in items], dtype=bool)
    values, features = _features(older, newer)
    parts = [
        (older, own_items[1], own_users[1], False),
        (newer, own_items[0], own_users[0], True),
    ]
    columns = [_events(data, item_of, user_of, is_new) for data, item_of, user_of, is_new in parts]
    user, item, time, new = (np.concatenate(each) for each in zip(*columns, strict=True))
    rows = np.flatnonzero(stays[item])
    order = rows[np.lexsort((time[rows], user[rows]))]
    user, item, time, new = user[order], item[order], time[order], new[order]
    _refuse_overlap(older, newer, user, item, time, new)
    # Items that are left without events are not part of the joined data.
    item = (np.cumsum(stays) - 1)[item]
    items = [name for name, here in zip(items, stays.tolist(), strict=True) if here]
    present = np.unique(user)
    counts = np.bincount(user, minlength=len(users))[present]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    has_times = newer.sequences.timestamps is not None
    sequences = Sequences(
        (item + 1).astype(np.int32),
        time if has_times else None,
        offsets,
        {name: column[order] for name, column in features.items()},
    )
    titles = _titles(items, newer.vocabulary, older.vocabulary)
    vocabulary = Vocabulary(items, titles, features=values)
    names = [users[index] for index in present.tolist()]
    hashes = fingerprints_of(
        pl.Series(names),
        pl.Series(items),
        offsets,
        item.astype(np.int32),
        sequences.timestamps,
        sequences.features,
        values,
    )
    return replace(
        newer,
        sequences=sequences,
        vocabulary=vocabulary,
        users=tuple(names),
        fingerprint=hashes.everything,
        fingerprints=hashes.parts,
        new_from=_first_new(offsets, new),
    )


def _features(
    older: SequenceData, newer: SequenceData
) -> tuple[dict[str, Values], dict[str, npt.NDArray[Any]]]:
    """The features of events that both data have: their values, and the columns, older first."""
    before, after = older.vocabulary.features, newer.vocabulary.features
    values: dict[str, Values] = {}
    for name in before.keys() & after.keys():
        first, second = after[name], before[name]
        if first is None and second is None:
            values[name] = None
        elif first is not None and second is not None:
            values[name] = tuple(dict.fromkeys([*first, *second]))
    one = recoded(older.sequences.features, before, values)
    two = recoded(newer.sequences.features, after, values)
    return values, {name: np.concatenate([one[name], two[name]]) for name in values}


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], tuple[Int64s, Int64s]]:
    """All names, and for each of the two lists the position of its names among them."""
    names = list(dict.fromkeys([*first, *second]))
    position = {name: index for index, name in enumerate(names)}
    return names, (
        np.asarray([position[name] for name in first], dtype=np.int64),
        np.asarray([position[name] for name in second], dtype=np.int64),
    )


def _events(
    data: SequenceData, item_of: Int64s, user_of: Int64s, is_new: bool
) -> tuple[Int64s, Int64s, Int64s, npt.NDArray[np.bool_]]:
    """User, item, time and whether it is new, of each event; the time is 0 without timestamps."""
    sequences = data.sequences
    count = len(sequences.items)
    times = np.zeros(count, np.int64) if sequences.timestamps is None else sequences.timestamps
    return (
        np.repeat(user_of, sequences.lengths),
        item_of[np.asarray(sequences.items, dtype=np.int64) - 1],
        np.asarray(times, dtype=np.int64),
        np.full(count, is_new),
    )


def _first_new(offsets: Int64s, new: npt.NDArray[np.bool_]) -> Int64s:
    """The position of each user's first newer event; the end of the history if there is none."""
    positions = np.where(new, np.arange(len(new)), len(new))
    first = np.minimum.reduceat(positions, offsets[:-1])
    return np.minimum(first, offsets[1:]).astype(np.int64)


def _refuse_overlap(
    older: SequenceData,
    newer: SequenceData,
    user: Int64s,
    item: Int64s,
    time: Int64s,
    new: npt.NDArray[np.bool_],
) -> None:
    """Refuse older data that hold most of the newer events as well."""
    count = int(new.sum())
    if newer.sequences.timestamps is None or not count:
        return
    keys = np.stack([user, item, time], axis=1)
    both = np.unique(keys[~new], axis=0)
    distinct = np.unique(keys[new], axis=0)
    shared = len(both) + len(distinct) - len(np.unique(np.concatenate([both, distinct]), axis=0))
    if 2 * shared > len(distinct):
        raise DataError(
            f"{older.name} (data.replay_source) holds {shared:,} of the {len(distinct):,} events "
            f"of {newer.name} too; expected the events before them: cut it where the newer data "
            "begin"
        )


def _titles(items: Sequence[str], newer: Vocabulary, older: Vocabulary) -> list[str | None] | None:
    titles: dict[str, str | None] = {}
    for vocabulary in (older, newer):
        if vocabulary.labels is not None:
            pairs = zip(vocabulary.items, vocabulary.labels, strict=True)
            titles.update({item: label for item, label in pairs if label is not None})
    return [titles.get(item) for item in items] if titles else None
