"""Fingerprints of sequences: hashes that tell whether two evaluations used the same data."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


class Fingerprints(NamedTuple):
    """Hashes of the form ``sha256:…``.

    Attributes:
        everything: over users, items, their order and timestamps.
        sequences: over users, items and their order.
        times: over the timestamps of the events in that order; a constant if there are none.
    """

    everything: str
    sequences: str
    times: str


def fingerprints_of(
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    users: Int64s,
    items: Int64s,
    times: Int64s | None,
) -> Fingerprints:
    """Hash N events by the ids of U users and V items, and not by their indices.

    Args:
        user_ids: the id of each user index 0..U-1.
        item_ids: the id of each item index 0..V-1.
        users: the user index of each event (N,); the events of a user are adjacent, oldest first.
        items: the item index of each event (N,).
        times: unix seconds of each event (N,), or None if only the order is known.
    """
    user_order = sorted(range(len(user_ids)), key=user_ids.__getitem__)
    item_order = sorted(range(len(item_ids)), key=item_ids.__getitem__)
    user_rank = np.empty(len(user_ids), dtype=np.int64)
    user_rank[user_order] = np.arange(len(user_ids))
    item_rank = np.empty(len(item_ids), dtype=np.int64)
    item_rank[item_order] = np.arange(1, len(item_ids) + 1)
    by_user = np.argsort(user_rank[users], kind="stable")

    # Stored checkpoints hold the hash of everything: its bytes must not change.
    everything = hashlib.sha256(b"seqzoo interactions 1\n")
    for ids, ranked in ((user_ids, user_order), (item_ids, item_order)):
        # The length before each id keeps ("ab", "c") and ("a", "bc") apart.
        encoded = [ids[code].encode() for code in ranked]
        everything.update(f"{len(encoded)}\n".encode())
        everything.update(b"".join(b"%d:%s" % (len(text), text) for text in encoded))
    everything.update(np.bincount(user_rank[users]).astype("<i8").tobytes())
    everything.update(item_rank[items[by_user]].astype("<i4").tobytes())

    sequences = everything.copy()
    sequences.update(b"sequences")
    timestamps = hashlib.sha256(b"seqzoo times 1\n")
    for digest in (everything, timestamps):
        digest.update(b"no times" if times is None else b"times")
        if times is not None:
            digest.update(times[by_user].astype("<i8").tobytes())
    return Fingerprints(
        *(f"sha256:{digest.hexdigest()}" for digest in (everything, sequences, timestamps))
    )
