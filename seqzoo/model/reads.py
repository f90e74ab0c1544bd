"""What a model reads of events other than items and timestamps, and how it gets into batches."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seqzoo.data.sequences import SequenceData, Sequences
from seqzoo.errors import DataError, nearest

if TYPE_CHECKING:
    from seqzoo.model.scoring import ScoringModel

__all__ = ["Reads", "require_features", "user_numbers"]


@dataclass(frozen=True)
class Reads:
    """What the parts of a model read.

    Attributes:
        query_times: whether they read the time of the request.
        features: names of columns of the events.
        users: whether they read the users' numbers.
    """

    query_times: bool
    features: tuple[str, ...]
    users: bool

    @classmethod
    def of(cls, model: "ScoringModel") -> "Reads":
        """What a model reads."""
        parts = (model.embedder, model.backbone)
        return cls(
            model.backbone.uses_query_time,
            tuple(dict.fromkeys(name for part in parts for name in part.uses_features)),
            any(part.uses_users for part in parts),
        )

    def __bool__(self) -> bool:
        return self.query_times or self.of_events

    @property
    def of_events(self) -> bool:
        """Whether they read features or the user, which steps and stores do not hold."""
        return self.users or bool(self.features)

    def of_data(self, data: SequenceData, sequences: Sequences) -> Sequences:
        """Sequences whose batches hold what the model reads, and nothing else.

        Args:
            data: the data, with the ids of the users.
            sequences: the sequences of the same users, under the model's own indices.

        Raises:
            DataError: the data lack what the model reads; the message says how to give it.
        """
        require_features(self.features, sequences.features, data.name)
        if self.query_times and sequences.timestamps is None:
            raise DataError(
                f"{data.name}: the model reads the time of the request, and these data have no "
                "timestamps; name their column: --time-col COLUMN (data.time_col)"
            )
        if not self and not sequences.features:
            return sequences
        return replace(
            sequences,
            features={name: sequences.features[name] for name in self.features},
            query_times=self.query_times,
            users=user_numbers(data.users) if self.users else None,
        )


def require_features(wanted: Sequence[str], given: Iterable[str], where: str) -> None:
    """Check that data have the columns that a model reads.

    Raises:
        DataError: names the first that is missing and the setting that reads it.
    """
    for name in wanted:
        if name not in given:
            raise DataError(
                f"{where}: the model reads the feature '{name}' of every event, which these data "
                f"lack{nearest(name, list(given)) or ';'} name the column that has it: "
                f"'data.features=[{', '.join(wanted)}]'"
            )


def user_numbers(users: Sequence[str]) -> npt.NDArray[np.int64]:
    """The numbers of users (U,), int64: 63 bits of the hash of each id, the same everywhere."""
    hashed = (hashlib.blake2b(user.encode(), digest_size=8).digest() for user in users)
    numbers = np.frombuffer(b"".join(hashed), dtype="<i8") & (2**63 - 1)
    return np.ascontiguousarray(numbers, dtype=np.int64)
