"""The data of a measurement: histories that the model can read, and the held-out items."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.features import recoded
from seqzoo.data.sequences import SequenceData, Sequences
from seqzoo.data.splits import ChosenSplit, Split, train_counts
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError

__all__ = ["HeldOut", "hold_out"]


@dataclass(frozen=True)
class HeldOut:
    """The T targets of a part of a split; a model can rank those whose item and history it knows.

    Held-out items that the model does not know count as misses, and so do targets in whose history
    it knows no item. Most splits hold out one item of a user; others hold out several, which all
    count.

    Attributes:
        data: all interactions, under any vocabulary.
        sequences: the interactions with known items, under the model's own indices.
        split: the M targets that can be ranked.
        rows: the positions of those targets among all T of the part (M,).
        known: whether each held-out item is known (T,).
        owners: which of the U users with a target each target belongs to, in ascending order (T,).
        chosen: how the data were split.
        facts: what was held out, see ``ChosenSplit.facts``.
        indices: the model's index of each item of the data, 0 for the padding and for unknown ones.
        items: size V of the model's vocabulary.
    """

    data: SequenceData
    sequences: Sequences
    split: Split
    rows: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    owners: npt.NDArray[np.int64]
    chosen: ChosenSplit
    facts: dict[str, Any]
    indices: npt.NDArray[np.int32]
    items: int

    @cached_property
    def train_counts(self) -> npt.NDArray[np.int64]:
        """Interactions of each of the model's items in the training part of the data (V + 1,)."""
        train = self.chosen.part(self.data, "train")
        counts = train_counts(self.data.sequences, train, len(self.data.vocabulary))
        known = self.indices[1:] > 0
        found = np.zeros(self.items + 1, dtype=np.int64)
        found[self.indices[1:][known]] = counts[known]
        return found

    @property
    def targets(self) -> int:
        """Number of held-out items."""
        return len(self.known)

    @property
    def users(self) -> int:
        """Number of users with a held-out item."""
        return int(self.owners[-1]) + 1 if len(self.owners) else 0

    @property
    def known_users(self) -> int:
        """Number of users with a held-out item that the model knows."""
        return len(np.unique(self.owners[self.known]))

    @property
    def unknown_interactions(self) -> int:
        """Number of interactions with items that the model does not know."""
        return len(self.data.sequences.items) - len(self.sequences.items)

    @property
    def unknown_targets(self) -> int:
        """Number of held-out items that the model does not know."""
        return int(self.targets - self.known.sum())

    def first(self, count: int) -> "HeldOut":
        """The same, restricted to the first ``count`` targets that can be ranked."""
        return replace(self, split=self.split.take(slice(count)), rows=self.rows[:count])

    def evenly(self, count: int) -> "HeldOut":
        """The same, restricted to ``count`` targets that are evenly spaced; all if fewer."""
        if self.targets <= count:
            return self
        chosen = np.linspace(0, self.targets - 1, count).astype(np.int64)
        position = np.full(self.targets, -1, dtype=np.int64)
        position[chosen] = np.arange(count)
        kept = np.flatnonzero(position[self.rows] >= 0)
        return replace(
            self,
            split=self.split.take(kept),
            rows=position[self.rows[kept]],
            known=self.known[chosen],
            owners=np.unique(self.owners[chosen], return_inverse=True)[1],
        )


def hold_out(
    data: SequenceData, vocabulary: Vocabulary, chosen: ChosenSplit, part: str = "test"
) -> HeldOut:
    """Split data and read them with a model's vocabulary.

    Args:
        data: the data with all interactions, under any vocabulary.
        vocabulary: the model's.
        chosen: the split.
        part: ``test`` or ``valid``.

    Raises:
        DataError: the data cannot be split in this way, no target is held out, or the vocabulary
            has no item of the data.
    """
    split = chosen.part(data, part)
    facts = chosen.facts(data.sequences, split)
    owners = np.unique(split.users, return_inverse=True)[1].astype(np.int64)
    sequences, known_values = data.sequences, data.vocabulary.features
    features = recoded(sequences.features, known_values, vocabulary.features)
    if data.vocabulary.items == vocabulary.items:
        if sequences.features:
            sequences = replace(sequences, features=features)
        return HeldOut(
            data=data,
            sequences=sequences,
            split=split,
            rows=np.arange(len(split)),
            known=np.ones(len(split), dtype=bool),
            owners=owners,
            chosen=chosen,
            facts=facts,
            indices=np.arange(len(vocabulary) + 1, dtype=np.int32),
            items=len(vocabulary),
        )
    own = [vocabulary.index(item) if item in vocabulary else 0 for item in data.vocabulary.items]
    if not any(own):
        raise DataError(
            f"{data.name}: none of its {len(own)} items is among the {len(vocabulary)} of the "
            f"vocabulary (data: '{data.vocabulary.items[0]}', vocabulary: "
            f"'{vocabulary.items[0]}'); expected data with the same item ids"
        )
    whole = data.sequences
    indices = np.asarray([0, *own], dtype=np.int32)
    items = indices[whole.items]
    read = items > 0
    # Position p of the whole data is position before[p] of what is read.
    before = np.concatenate([[0], np.cumsum(read)])
    known = read[split.target]
    ranked = known & (before[split.history_end] > before[split.history_start])
    return HeldOut(
        data=data,
        sequences=Sequences(
            items=items[read],
            timestamps=None if whole.timestamps is None else whole.timestamps[read],
            offsets=before[whole.offsets],
            features={name: values[read] for name, values in features.items()},
        ),
        split=Split(
            history_start=before[split.history_start[ranked]],
            history_end=before[split.history_end[ranked]],
            target=before[split.target[ranked]],
            users=split.users[ranked],
            left_out=split.left_out,
            begins=split.begins,
        ),
        rows=np.flatnonzero(ranked),
        known=known,
        owners=owners,
        chosen=chosen,
        facts=facts,
        indices=indices,
        items=len(vocabulary),
    )
