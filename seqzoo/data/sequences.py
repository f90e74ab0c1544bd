"""Users' histories in compressed form: one flat array of items, and where each user starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.codes import frequencies, rows_by_user
from seqzoo.data.features import recoded
from seqzoo.data.fingerprints import fingerprints_of
from seqzoo.data.interactions import Interactions
from seqzoo.data.item_table import ItemTable
from seqzoo.data.summary import Summary
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, DataError, nearest, one_line

__all__ = [
    "ORDERS",
    "SequenceData",
    "Sequences",
    "build_sequences",
    "load_array",
]

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """The histories of U users with N interactions, oldest first.

    Attributes:
        items: item indices 1..V (N,), int32.
        timestamps: unix seconds (N,), int64; None if only the order is known.
        offsets: the history of user ``u`` is at the positions ``offsets[u]:offsets[u + 1]``
            (U + 1,), int64.
        features: columns of each event by name (N,): codes of text, int32 with 0 for none, or
            numbers, float32.
        query_times: whether batches also hold the time of the event after each one.
        users: a number for each user (U,), int64, if batches hold the users.
    """

    items: Int32s
    timestamps: Int64s | None
    offsets: Int64s
    features: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    query_times: bool = False
    users: Int64s | None = None

    def __post_init__(self) -> None:
        _check_array("items", self.items, np.int32)
        _check_array("offsets", self.offsets, np.int64)
        count = len(self.items)
        if len(self.offsets) < 2 or self.offsets[0] != 0 or self.offsets[-1] != count:
            raise DataError(
                f"sequences: the offsets (of length {len(self.offsets)}) do not span the {count} "
                f"items; expected them to run from 0 to {count}"
            )
        if (np.diff(self.offsets) < 0).any():
            raise DataError("sequences: the offsets decrease; expected offsets that never decrease")
        if count and self.items.min() < 1:
            raise DataError(
                f"sequences: the items hold the index {self.items.min()}; expected 1 or more "
                "(0 is padding)"
            )
        if self.timestamps is not None:
            _check_array("timestamps", self.timestamps, np.int64)
            if len(self.timestamps) != count:
                raise DataError(
                    f"sequences: there are {len(self.timestamps)} timestamps for {count} items; "
                    "expected one for each"
                )

        for name, values in self.features.items():
            number = isinstance(values, np.ndarray) and values.dtype == np.float32
            _check_array(f"feature {name}", values, np.float32 if number else np.int32)
            if len(values) != count:
                raise DataError(
                    f"sequences: the feature '{name}' has {len(values)} values for {count} items; "
                    "expected one for each"
                )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int) -> Int32s:
        """The items of the user with index ``user`` (T,), oldest first."""
        if not -len(self) <= user < len(self):
            raise IndexError(f"user {user} is outside 0 to {len(self) - 1}")
        user %= len(self)
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    @property
    def lengths(self) -> Int64s:
        """The number of interactions of each user (U,)."""
        return np.diff(self.offsets)

    def save(self, folder: str | Path) -> None:
        """Write ``items.npy``, ``offsets.npy`` and, if there are any, ``timestamps.npy``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "items.npy", self.items, allow_pickle=False)
        np.save(folder / "offsets.npy", self.offsets, allow_pickle=False)
        if self.timestamps is None:
            # Otherwise load would combine these items with the timestamps of an earlier save.
            (folder / "timestamps.npy").unlink(missing_ok=True)
        else:
            np.save(folder / "timestamps.npy", self.timestamps, allow_pickle=False)

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True) -> "Sequences":
        """Read what :meth:`save` wrote.

        Args:
            folder: the folder with the ``.npy`` files.
            mmap: map the files into memory instead of reading them.

        Raises:
            DataError: a file is missing or damaged, or the arrays do not fit together.
        """
        folder = Path(folder)
        has_timestamps = (folder / "timestamps.npy").exists()
        return cls(
            items=load_array(folder / "items.npy", mmap),
            timestamps=load_array(folder / "timestamps.npy", mmap) if has_timestamps else None,
            offsets=load_array(folder / "offsets.npy", mmap),
        )


@dataclass(frozen=True)
class SequenceData:
    """Sequences with the ids of their users and items.

    Attributes:
        sequences: the histories of U users.
        vocabulary: the items by index.
        users: the user ids (U,), in the order of the sequences.
        name: the name of the data in messages.
        fingerprint: ``sha256:…`` over users, items, their order and timestamps, see
            :func:`build_sequences`.
        fingerprints: the same in two parts: ``sequences`` over users, items and their order, and
            ``times`` over the timestamps in that order. Data whose ``sequences`` are equal are the
            same for a model that reads no timestamps.
        dropped: number of interactions with items that the given vocabulary lacks.
        summaries: the interactions as read and after each filter.
        categories: names of categories by item id, as far as the data have them.
        item_features: features of the items in index order, if a model is to read them.
        new_from: of data that were joined from older and newer ones, the position of each user's
            first newer event in ``Sequences.items`` (U,), int64; None for other data.
    """

    sequences: Sequences
    vocabulary: Vocabulary
    users: tuple[str, ...]
    name: str
    fingerprint: str
    fingerprints: Mapping[str, str]
    dropped: int = 0
    summaries: tuple[Summary, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    item_features: ItemTable | None = None
    new_from: Int64s | None = None


ORDERS = ("time-row", "float32-time-row")


def build_sequences(
    interactions: Interactions, *, vocabulary: Vocabulary | None = None, order: str = "time-row"
) -> SequenceData:
    """Sort the interactions of each user by timestamp, then by row, and index the items.

    Users come in the order of their first row. Fractions of a second order the events; the
    timestamps of the result are whole seconds.

    The fingerprints cover all interactions, including those with items that a given vocabulary
    lacks. They depend on who interacted with which items in which order and when, but not on the
    order of the users, of the vocabulary, or of the rows; only rows of one user with the same
    timestamp are ordered by their row.

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
    positions, fractions = interactions.order, interactions.fractions
    times = positions
    keys: tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None] = (positions, fractions)
    if order == "float32-time-row" and interactions.has_times:
        exact = positions if fractions is None else positions + fractions
        rounded = exact.astype(np.float32)
        times = np.floor(rounded).astype(np.int64)
        keys = (rounded, None)
    rows = rows_by_user(interactions.users, *keys)
    items = interactions.items[rows]
    timestamps = times[rows] if interactions.has_times else None
    columns = interactions.features
    features = {name: column.values[rows] for name, column in columns.items()}
    del rows, times, keys
    lengths = frequencies(interactions.users, interactions.num_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    hashes = fingerprints_of(
        interactions.user_ids, interactions.item_ids, offsets, items, timestamps
    )
    names, item_names = interactions.user_ids.to_list(), interactions.item_ids.to_list()

    dropped = 0
    if vocabulary is None:
        labels = [interactions.labels.get(item) for item in item_names]
        vocabulary = Vocabulary(item_names, labels if any(labels) else None)
        if columns:
            known_values = {name: column.known for name, column in columns.items()}
            vocabulary = vocabulary.with_features(known_values)
        items += 1
    else:
        index_of_code = np.asarray(
            [vocabulary.index(item) if item in vocabulary else 0 for item in item_names],
            dtype=np.int32,
        )
        indices = index_of_code[items]
        known = indices > 0
        dropped = int(len(known) - known.sum())
        if dropped == len(known):
            raise DataError(
                f"{interactions.name}: none of its {len(item_names)} items is among the "
                f"{len(vocabulary)} of the vocabulary (data: '{item_names[0]}', vocabulary: "
                f"'{vocabulary.items[0]}'); expected data with the same item ids"
            )
        items = indices[known]
        features = recoded(
            {name: values[known] for name, values in features.items()},
            {name: column.known for name, column in columns.items()},
            vocabulary.features,
        )
        timestamps = None if timestamps is None else timestamps[known]
        # Users without a known item have no sequence.
        ends = np.concatenate([[0], np.cumsum(known)])[offsets]
        present = np.diff(ends) > 0
        offsets = np.concatenate([[0], ends[1:][present]]).astype(np.int64)
        names = [name for name, here in zip(names, present, strict=True) if here]

    return SequenceData(
        sequences=Sequences(items=items, timestamps=timestamps, offsets=offsets, features=features),
        vocabulary=vocabulary,
        users=tuple(names),
        name=interactions.name,
        fingerprint=hashes.everything,
        fingerprints={"sequences": hashes.sequences, "times": hashes.times},
        dropped=dropped,
        summaries=interactions.summaries,
        categories=interactions.categories,
    )


def _check_array(name: str, array: object, dtype: type[np.generic]) -> None:
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype:
        found = (
            f"{array.dtype} of shape {array.shape}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise DataError(
            f"sequences: '{name}' is {found}; expected a flat array of {np.dtype(dtype)}"
        )


def load_array(path: Path, mmap: bool) -> npt.NDArray[Any]:
    """Read or map an array of a ``.npy`` file.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
        return array
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; expected the files of Sequences.save") from None
    # For a damaged header numpy raises exceptions of many modules, those of tokenize among them.
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as an array ({one_line(error, 120)}); save the sequences again"
        ) from error
