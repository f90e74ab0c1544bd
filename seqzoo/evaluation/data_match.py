"""Whether data are the same as those of stored metrics, by their fingerprints."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from seqzoo.data.sequences import SequenceData

DataMatch: TypeAlias = Literal["same", "timestamps", "other"]
"""``same`` for this model, other ``timestamps`` that the model reads, or ``other`` data."""


def data_match(stored: Mapping[str, Any], data: SequenceData, *, uses_time: bool) -> DataMatch:
    """Compare data with those that metrics were stored for.

    A model that reads no timestamps is compared by users, items and their order alone.

    Args:
        stored: ``data`` of the stored metrics; older checkpoints have a single fingerprint over
            everything; without any fingerprint, the data count as the same.
        data: the data to compare.
        uses_time: whether the model reads timestamps.
    """
    prints = stored.get("fingerprints")
    if not prints:
        return "same" if stored.get("fingerprint") in (None, data.fingerprint) else "other"
    if prints.get("sequences") != data.fingerprints["sequences"]:
        return "other"
    if uses_time and prints.get("times") != data.fingerprints["times"]:
        return "timestamps"
    return "same"
