"""Convert histories of item ids to the indices and timestamps that a model reads."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.storage.messages import listing
from seqzoo.validation import list_of, one_of, read_times

logger = logging.getLogger("seqzoo")

History = Sequence[str]
"""Item ids of one user, oldest first."""

ON_UNKNOWN = ("skip", "error")
ON_COLD = ("error", "empty", "popular")

_SHOWN = 5
_COLD = ", or choose what users without a known item get: on_cold (--on-cold) popular or empty"


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
    on_cold: str | None = None,
) -> list[EncodedHistory]:
    """Encode histories; arguments and errors as for ``SequenceModel.recommend_many``.

    Users without a known item have no ``items``; they are an error if ``on_cold`` is ``error``, or
    None, if the caller offers no other answer.
    """
    one_of("on_unknown", on_unknown, ON_UNKNOWN)
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
    for row, (given, given_timestamps) in enumerate(zip(rows, timestamps_of, strict=True)):
        history = list_of("a history", "item ids", given)
        times = None if timestamps is None else read_times(given_timestamps, len(history))
        known, unknown = vocabulary.encode(history)
        what = "history" if len(rows) == 1 else f"histories[{row}]"
        remedy = "" if on_cold is None else _COLD
        if not history and on_cold in (None, "error"):
            raise UsageError(f"{what}: the history is empty; give at least one item id{remedy}")
        if unknown and on_unknown == "error":
            refuse_unknown(vocabulary, what, unknown)
        if unknown and not len(known) and on_cold in (None, "error"):
            refuse_unknown(vocabulary, what, unknown, remedy)
        if unknown:
            logger.info("left out items that the model does not know: %s", ", ".join(unknown))
            if times is not None:
                missing = set(unknown)
                times = [t for item, t in zip(history, times, strict=True) if item not in missing]
        encoded.append(EncodedHistory(known.tolist(), times, unknown))
    return encoded


def refuse_unknown(
    vocabulary: Vocabulary, what: str, unknown: Sequence[str], remedy: str = ""
) -> NoReturn:
    """Raise the error for item ids that are not in the vocabulary.

    Args:
        vocabulary: of the model.
        what: where the ids were given, for the message.
        unknown: the ids; empty if none were given.
        remedy: the end of the message.

    Raises:
        UnknownItemError: always.
    """
    shown = listing([repr(item) for item in unknown], _SHOWN)
    example = ", ".join(vocabulary.items[:3])
    hint = vocabulary.suggestion(unknown[0]) if unknown else ""
    raise UnknownItemError(
        f"{what}: item ids the model does not know: {shown or 'none given'}{hint}; "
        f"its ids look like {example} (all of them are in vocabulary.json){remedy}"
    )
