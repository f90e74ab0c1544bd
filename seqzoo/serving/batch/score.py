"""Score a block of users, and put the recommendations into a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.model.choice import Candidates, Exclusions, read_choice
from seqzoo.model.context import read_context
from seqzoo.model.histories import COLD_REMEDY, ON_COLD, encode_histories, refuse_unknown
from seqzoo.model.recommendations import Recommendations
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.batch.users import Block
from seqzoo.validation import one_of, whole_number

__all__ = ["SCHEMA", "Answered", "Options", "answer", "table_of"]

SCHEMA: dict[str, pl.DataType] = {
    "user": pl.String(),
    "rank": pl.Int32(),
    "item": pl.String(),
    "score": pl.Float64(),
    "label": pl.String(),
}
"""The columns of recommendations; whole numbers as user ids stay numbers."""


@dataclass(frozen=True)
class Options:
    """What is the same for all users; as for ``recommend_many``."""

    k: int = 10
    exclude_seen: bool = True
    on_unknown: str = "skip"
    on_cold: str = "empty"
    batch_size: int = 256

    def check(self, model: SequenceModel) -> None:
        """Check the options before any data are read.

        Raises:
            UsageError: one is invalid, or the model reads what a file does not give.
        """
        if model.reads.features:
            names = ", ".join(model.reads.features)
            raise UsageError(
                f"'{model.architecture}' reads features of events ({names}), which are not read "
                "from files of histories; use model.recommend_many(…, features=…)"
            )
        one_of("on_cold", self.on_cold, ON_COLD)
        read_choice(model.vocabulary, 0, self.k, None, None, self.on_unknown)
        whole_number("batch_size", self.batch_size, 1)
        if self.on_cold == "popular":
            _ = model.vocabulary.most_popular


@dataclass(frozen=True)
class Answered:
    """The recommendations of a block of users, and what is counted."""

    frame: pl.DataFrame
    cold: int
    unknown: int


def answer(
    model: SequenceModel,
    block: Block,
    options: Options,
    candidates: Candidates | None = None,
    exclude: Exclusions | None = None,
) -> Answered:
    """The recommendations for a block of users.

    Raises:
        UnknownItemError: a user is cold and ``on_cold`` is ``error``, or an id is unknown and
            ``on_unknown`` is ``error``; the message names the place of the user.
    """
    users = encode_histories(model.vocabulary, block.items, block.times, "skip", "empty")
    lengths = np.diff(users.offsets)
    for row, unknown in enumerate(users.unknown):
        if unknown and options.on_unknown == "error":
            refuse_unknown(model.vocabulary, block.locate(row), unknown)
        if not lengths[row] and options.on_cold == "error":
            if unknown:
                refuse_unknown(model.vocabulary, block.locate(row), unknown, COLD_REMEDY)
            raise UnknownItemError(f"{block.locate(row)}: the history is empty{COLD_REMEDY}")
    ids = block.users.cast(pl.String).to_list() if model.reads.users else None
    context = read_context(model, block.items, block.times, None, None, ids)
    users = replace(users, context=context)
    choice = read_choice(
        model.vocabulary, len(users), options.k, candidates, exclude, options.on_unknown
    )
    answers = model.recommend_encoded(
        users, choice, options.exclude_seen, options.on_cold, options.batch_size
    )
    return Answered(
        table_of(block.users, answers),
        cold=int((lengths == 0).sum()),
        unknown=sum(map(len, users.unknown)),
    )


def table_of(users: pl.Series, answers: Sequence[Recommendations]) -> pl.DataFrame:
    """One row for each recommendation, best first for each user."""
    counts = np.fromiter(map(len, answers), np.int64, len(answers))
    flat = [each for best in answers for each in best]
    rows = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    ranks = np.arange(len(flat)) - np.repeat(ends - counts, counts) + 1
    return pl.DataFrame(
        {
            "user": users.gather(rows),
            "rank": pl.Series(ranks, dtype=pl.Int32),
            "item": pl.Series([each.item for each in flat], dtype=pl.String),
            "score": pl.Series([each.score for each in flat], dtype=pl.Float64),
            "label": pl.Series([each.label for each in flat], dtype=pl.String),
        }
    )
