"""Fingerprints of sequences: hashes that show whether two evaluations used the same data."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.data.features import Values

__all__ = ["Fingerprints", "Int32s", "Int64s", "feature_key", "fingerprints_of"]

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


_BLOCK = 1 << 22
"""Roughly how many events are hashed at once."""


class Fingerprints(NamedTuple):
    """Hashes of the form ``sha256:…``.

    Attributes:
        everything: over users, items, their order, timestamps and features.
        sequences: over users, items and their order.
        times: over the timestamps of the events in that order; a constant if there are none.
        features: over the values of each feature of the events in that order, by name.
    """

    everything: str
    sequences: str
    times: str
    features: Mapping[str, str]

    @property
    def parts(self) -> dict[str, str]:
        """The parts by name, as ``SequenceData.fingerprints`` and ``metrics.json`` have them."""
        named = {feature_key(name): value for name, value in self.features.items()}
        return {"sequences": self.sequences, "times": self.times, **named}


def feature_key(name: str) -> str:
    """The name of the part that covers a feature of the events."""
    return f"feature {name}"


def fingerprints_of(
    user_ids: pl.Series,
    item_ids: pl.Series,
    offsets: Int64s,
    items: Int32s,
    times: Int64s | None,
    features: Mapping[str, npt.NDArray[Any]] | None = None,
    values: Mapping[str, Values] | None = None,
) -> Fingerprints:
    """Hash N events by the ids of U users and V items, and not by their indices.

    Args:
        user_ids: the id of each user index 0..U-1, text.
        item_ids: the id of each item index 0..V-1, text.
        offsets: the events of user ``u`` are at ``offsets[u]:offsets[u + 1]``, oldest first
            (U + 1,).
        items: the item index of each event (N,).
        times: unix seconds of each event (N,), or None if only the order is known.
        features: columns of the events by name (N,), as ``Sequences.features`` has them.
        values: the different values of each column of text, code 1 first; None for numbers.
    """
    user_order, item_order = (ids.arg_sort().to_numpy() for ids in (user_ids, item_ids))
    item_rank = np.empty(len(item_ids), dtype="<i4")
    item_rank[item_order] = np.arange(1, len(item_ids) + 1)

    # Stored checkpoints hold the hash of everything: its bytes must not change.
    everything = hashlib.sha256(b"seqzoo interactions 1\n")
    for ids, ranked in ((user_ids, user_order), (item_ids, item_order)):
        everything.update(f"{len(ids)}\n".encode())
        # The length before each id keeps ("ab", "c") and ("a", "bc") apart.
        for part in ids.gather(ranked).to_frame("id").iter_slices(_BLOCK):
            marked = part.select(pl.format("{}:{}", pl.col("id").str.len_bytes(), "id").str.join())
            everything.update(marked.item().encode())
    everything.update(np.diff(offsets)[user_order].astype("<i8").tobytes())
    for positions in _blocks_of_users(offsets, user_order):
        everything.update(item_rank[items[positions]].tobytes())

    sequences = everything.copy()
    sequences.update(b"sequences")
    timestamps = hashlib.sha256(b"seqzoo times 1\n")
    for digest in (everything, timestamps):
        digest.update(b"no times" if times is None else b"times")
    if times is not None:
        for positions in _blocks_of_users(offsets, user_order):
            content = times[positions].astype("<i8").tobytes()
            everything.update(content)
            timestamps.update(content)
    columns = {}
    # Data without features keep the hash that they had before there were any.
    for name in sorted(features or {}):
        digest = hashlib.sha256(b"seqzoo feature 1\n")
        head, column = _feature(features[name], (values or {}).get(name))  # type: ignore[index]
        digest.update(head)
        for positions in _blocks_of_users(offsets, user_order):
            digest.update(column[positions].tobytes())
        columns[name] = f"sha256:{digest.hexdigest()}"
        everything.update(f"{len(name.encode())}:{name}".encode() + digest.digest())
    whole, order, moments = (
        f"sha256:{digest.hexdigest()}" for digest in (everything, sequences, timestamps)
    )
    return Fingerprints(whole, order, moments, columns)


def _feature(column: npt.NDArray[Any], known: Values) -> tuple[bytes, npt.NDArray[Any]]:
    """What is hashed of a feature: its kind with its different texts, and the values (N,).

    Codes become ranks among the texts that occur, because the codes of equal data may differ.
    """
    if known is None:
        return b"numbers", column.astype("<f4")
    found = np.unique(column[column > 0])
    texts = sorted((known[code - 1], code) for code in found.tolist())
    encoded = [text.encode() for text, _ in texts]
    head = f"text {len(texts)}\n".encode()
    head += b"".join(f"{len(each)}:".encode() + each for each in encoded)
    rank = np.zeros(len(known) + 1, dtype="<i4")
    rank[[code for _, code in texts]] = np.arange(1, len(texts) + 1)
    return head, rank[column]


def _blocks_of_users(offsets: Int64s, user_order: Int64s) -> Iterator[Int64s]:
    """The positions of the events of the users in an order, in blocks of whole users."""
    counts = np.diff(offsets)[user_order]
    before = np.concatenate([[0], np.cumsum(counts)])
    first = 0
    while first < len(user_order):
        last = max(first + 1, int(np.searchsorted(before, before[first] + _BLOCK, "right")) - 1)
        starts = offsets[user_order[first:last]] - (before[first:last] - before[first])
        inside = np.arange(before[last] - before[first])
        yield np.repeat(starts, counts[first:last]) + inside
        first = last
