"""Convert histories of item ids to the indices and timestamps that a model reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.storage.messages import listing
from seqzoo.validation import list_of, read_times

logger = logging.getLogger("seqzoo")

History = Sequence[str]
"""Item ids of one user, oldest first."""

_SHOWN = 5


@dataclass(frozen=True)
class EncodedHistory:
    """One user's history, encoded with a vocabulary.

    Attributes:
        items: indices of the known items, oldest first.
        timestamps: unix seconds of each item, if given.
        unknown: ids that are not in the vocabulary, in their order.
    """

    items: list[int]
    timestamps: list[int] | None
    unknown: list[str]


def encode_histories(
    vocabulary: Vocabulary,
    histories: Sequence[History],
    timestamps: Sequence[Sequence[int]] | None,
    on_unknown: str,
) -> list[EncodedHistory]:
    """Encode histories; arguments and errors as for ``SequenceModel.recommend_many``."""
    if on_unknown not in ("skip", "error"):
        raise UsageError(f"on_unknown is '{on_unknown}'; expected 'skip' or 'error'")
    rows = list_of("histories", "histories", histories)
    timestamps_of: Sequence[Sequence[int] | None] = [None] * len(rows)
    if timestamps is not None:
        timestamps_of = list_of("timestamps", "lists of unix seconds", timestamps)
    if len(timestamps_of) != len(rows):
        raise UsageError(
            f"{len(timestamps_of)} lists of timestamps for {len(rows)} histories; "
            "give one list for each history"
        )
    encoded = []
    for given, given_timestamps in zip(rows, timestamps_of, strict=True):
        history = list_of("a history", "item ids", given)
        if not history:
            raise UsageError("the history is empty; give at least one item id")
        times = None if timestamps is None else read_times(given_timestamps, len(history))
        known, unknown = vocabulary.encode(history)
        if unknown and (on_unknown == "error" or not len(known)):
            refuse_unknown(vocabulary, "history", unknown)
        if unknown:
            logger.info("left out items that the model does not know: %s", ", ".join(unknown))
            if times is not None:
                missing = set(unknown)
                times = [t for item, t in zip(history, times, strict=True) if item not in missing]
        encoded.append(EncodedHistory(known.tolist(), times, unknown))
    return encoded


def refuse_unknown(vocabulary: Vocabulary, what: str, unknown: Sequence[str]) -> NoReturn:
    """Raise the error for item ids that are not in the vocabulary.

    Args:
        vocabulary: of the model.
        what: where the ids were given, for the message.
        unknown: the ids; empty if none were given.

    Raises:
        UnknownItemError: always.
    """
    shown = listing([repr(item) for item in unknown], _SHOWN)
    example = ", ".join(vocabulary.items[:3])
    hint = vocabulary.suggestion(unknown[0]) if unknown else ""
    raise UnknownItemError(
        f"{what}: item ids the model does not know: {shown or 'none given'}{hint}; "
        f"its ids look like {example} (all of them are in vocabulary.json)"
    )
