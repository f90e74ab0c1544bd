"""Convert histories of item ids to the indices and timestamps that a model reads."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.data.padding import batch_slices, next_times, padded
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.storage.messages import listing
from seqzoo.validation import list_of, one_of, read_times

if TYPE_CHECKING:
    from seqzoo.model.context import Context

__all__ = [
    "COLD_REMEDY",
    "ON_COLD",
    "ON_UNKNOWN",
    "EncodedHistories",
    "History",
    "encode_histories",
    "refuse_unknown",
]

logger = logging.getLogger("seqzoo")

History = Sequence[str]
"""Item ids of one user, oldest first."""

ON_UNKNOWN = ("skip", "error")
ON_COLD = ("error", "empty", "popular")

_SHOWN = 5
COLD_REMEDY = (
    ", or choose what users without a known item get: on_cold (--on-cold) popular or empty"
)


@dataclass(frozen=True)
class EncodedHistories:
    """Histories encoded with a vocabulary, one after another in flat arrays.

    Attributes:
        items: indices of the known items, oldest first [E].
        timestamps: unix seconds of each of them [E]; None if not given.
        offsets: the history of user u is at ``offsets[u]:offsets[u + 1]`` [U + 1].
        unknown: for each user the ids that are not in the vocabulary, in their order.
        context: what else the model reads; None if nothing.
    """

    items: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.int64] | None
    offsets: npt.NDArray[np.int64]
    unknown: list[list[str]]
    context: "Context | None" = None

    def __len__(self) -> int:
        return len(self.unknown)

    def items_of(self, user: int) -> npt.NDArray[np.int32]:
        """Indices of one user's known items."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def batches(
        self, window: int, rows: int, device: torch.device
    ) -> Iterator[tuple[list[int], SequenceBatch]]:
        """Positions of users, and their newest events; users without a known item are left out.

        Histories of similar length come together, to limit padding.

        Args:
            window: number of newest events of each history.
            rows: maximum number of histories of a batch.
            device: the device of the model.
        """
        lengths = np.minimum(np.diff(self.offsets), window)
        order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
        for part in batch_slices(lengths[order], rows, device):
            users = order[part]
            starts = self.offsets[users + 1] - lengths[users]
            batch = padded(self.items, self.timestamps, starts, lengths[users])
            if self.context is not None:
                batch = self._with_context(self.context, batch, users, starts)
            yield users.tolist(), batch.to(device)

    def _with_context(
        self,
        context: "Context",
        batch: SequenceBatch,
        users: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
    ) -> SequenceBatch:
        """A batch of users with everything that the model reads."""
        lengths = batch.lengths.numpy()
        queries = None
        if context.query_times and self.timestamps is not None:
            ends = self.offsets[users + 1]
            queries = next_times(self.timestamps, starts, lengths, ends)
            if context.at is not None:
                queries[torch.arange(len(users)), batch.lengths - 1] = torch.from_numpy(
                    context.at[users]
                )
        named = padded(self.items, None, starts, lengths, context.features).features
        numbers = None if context.users is None else torch.from_numpy(context.users[users])
        return replace(batch, query_times=queries, features=named, users=numbers)


def encode_histories(
    vocabulary: Vocabulary,
    histories: Sequence[History],
    timestamps: Sequence[Sequence[int]] | None,
    on_unknown: str,
    on_cold: str | None = None,
) -> EncodedHistories:
    """Encode histories; arguments and errors as for ``SequenceModel.recommend_many``.

    Users without a known item have an empty history. They are an error if ``on_cold`` is ``error``,
    or None because the caller offers no other answer.
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
    items, seconds, unknown_of = [], [], []
    for row, (given, given_timestamps) in enumerate(zip(rows, timestamps_of, strict=True)):
        history = list_of("a history", "item ids", given)
        known, unknown = vocabulary.encode(history)
        if timestamps is not None:
            seconds.append(np.array(read_times(given_timestamps, len(history)), dtype=np.int64))
        what = "history" if len(rows) == 1 else f"histories[{row}]"
        remedy = "" if on_cold is None else COLD_REMEDY
        if not history and on_cold in (None, "error"):
            raise UsageError(f"{what}: the history is empty; give at least one item id{remedy}")
        if unknown and on_unknown == "error":
            refuse_unknown(vocabulary, what, unknown)
        if unknown and not len(known) and on_cold in (None, "error"):
            refuse_unknown(vocabulary, what, unknown, remedy)
        if unknown:
            logger.info("left out items that the model does not know: %s", ", ".join(unknown))
            if timestamps is not None:
                missing = set(unknown)
                seconds[-1] = seconds[-1][[item not in missing for item in history]]
        items.append(known)
        unknown_of.append(unknown)
    return EncodedHistories(
        np.concatenate([np.zeros(0, dtype=np.int32), *items]),
        np.concatenate([np.zeros(0, dtype=np.int64), *seconds]) if timestamps is not None else None,
        np.cumsum([0, *map(len, items)]),
        unknown_of,
    )


def refuse_unknown(
    vocabulary: Vocabulary, what: str, unknown: Sequence[str], remedy: str = ""
) -> NoReturn:
    """Raise the error for item ids that are not in the vocabulary.

    Args:
        vocabulary: the vocabulary of the model.
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
