"""Whether data and split are those of stored metrics, by fingerprints and settings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from seqzoo.data.fingerprints import feature_key
from seqzoo.data.sequences import SequenceData
from seqzoo.evaluation.held_out import HeldOut

__all__ = ["DataMatch", "data_match"]

DataMatch: TypeAlias = Literal["same", "timestamps", "features", "split", "other"]
"""``same`` data, other ``timestamps`` or ``features`` that matter here, another ``split``, or
``other`` data."""


def data_match(
    record: Mapping[str, Any], held_out: HeldOut, *, uses_time: bool, features: Sequence[str] = ()
) -> DataMatch:
    """Compare what a model is measured on with what its metrics were stored for.

    If neither the model nor the split reads timestamps, only users, items and their order are
    compared, and those features of the events that the model reads.

    Args:
        record: the stored metrics under the protocol, with ``data`` and ``split``; older
            checkpoints have a single fingerprint over everything; without any fingerprint, the
            data count as the same.
        held_out: what the model is measured on.
        uses_time: whether the model reads timestamps.
        features: the columns of the events that it reads.
    """
    data, splitter = held_out.data, held_out.chosen.splitter
    timed = uses_time or splitter.uses_time
    found = _match_of_data(record.get("data", {}), data, timed, features)
    # Metrics that name no split are those of a split without settings.
    settings = record.get("split", {}).get("settings", {})
    if found == "same" and record and settings != held_out.chosen.settings:
        return "split"
    return found


def _match_of_data(
    stored: Mapping[str, Any], data: SequenceData, uses_time: bool, features: Sequence[str]
) -> DataMatch:
    prints = stored.get("fingerprints")
    if not prints:
        return "same" if stored.get("fingerprint") in (None, data.fingerprint) else "other"
    if prints.get("sequences") != data.fingerprints["sequences"]:
        return "other"
    if uses_time and prints.get("times") != data.fingerprints["times"]:
        return "timestamps"
    for key in map(feature_key, features):
        # Checkpoints of earlier versions have no fingerprints of features.
        if key in prints and prints[key] != data.fingerprints.get(key):
            return "features"
    return "same"
