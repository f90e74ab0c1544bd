"""Users' histories in compressed form: one flat array of items, and where each user starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.item_table import ItemTable
from seqzoo.data.summary import Summary
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError, one_line

__all__ = [
    "Int32s",
    "Int64s",
    "SequenceData",
    "Sequences",
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
        fingerprint: ``sha256:…`` over users, items, their order, timestamps and features, see
            :func:`build_sequences`.
        fingerprints: the same in parts: ``sequences`` over users, items and their order, ``times``
            over the timestamps in that order, and ``feature NAME`` over the values of each feature.
            Data whose ``sequences`` are equal are the same for a model that reads no timestamps
            and no features.
        dropped: number of interactions with items that the given vocabulary lacks.
        summaries: the interactions as read and after each filter.
        categories: names of categories by item id, as far as the data have them.
        item_features: features of the items in index order, if a model is to read them.
        new_from: for data joined from older and newer ones, the position of each user's
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
