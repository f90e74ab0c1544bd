"""DuoRec's objective: InfoNCE with dropout views and same-target views (arXiv 2110.05730).

Shapes in brackets: B rows of a batch, D hidden width, U training histories, N targets, V items.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqzoo.errors import ConfigError
from seqzoo.interfaces import Backbone
from seqzoo.objectives import (
    ContrastiveObjective,
    Inputs,
    NextItem,
    Objective,
    Sequences,
    Split,
    Windows,
    WindowSettings,
    gather,
)
from seqzoo_duorec.config import DuoRecConfig

__all__ = ["DuoRec", "Int64s", "SameTarget"]

Int64s: TypeAlias = npt.NDArray[np.int64]


class DuoRec(ContrastiveObjective):
    """Two views of every history: another pass with dropout, and a history with the same target.

    The target is that of the newest event. ``contrast_pairs`` chooses what is contrasted: the two
    passes (``dropout``), the history and one with the same target (``same-target``), ``both``, or
    the second pass and the history with the same target (``crossed``, the authors' default).
    """

    def __init__(self, config: DuoRecConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        if not isinstance(self.main, NextItem):
            raise ConfigError(
                f"setting 'main_objective' is '{config.main_objective}'; the objective duorec "
                "contrasts histories with the same next item; expected next-item or next-item-last"
            )
        self.compared = config.contrast_pairs
        self.index: SameTarget | None = None
        self.max_length = 0

    def prepared(self, sequences: Sequences, split: Split, settings: WindowSettings) -> Objective:
        """A copy with an index from items to the events where they are targets."""
        made = copy.copy(self)
        made.max_length = settings.max_length
        if self.compared != "dropout":
            made.index = SameTarget.of(sequences, split)
        return made

    def batch(
        self, sequences: Sequences, windows: Windows, generator: np.random.Generator
    ) -> Inputs:
        """The main objective's inputs, and the histories with the same target."""
        inputs = self.main.batch(sequences, windows, generator)
        if self.compared == "dropout":
            return inputs
        index = self.index
        if index is None:
            raise ConfigError("the objective duorec makes batches after prepared(…) was called")
        targets = index.others(sequences, windows.starts + windows.lengths, generator)
        starts = np.maximum(index.begin_of(targets), targets - self.max_length)
        return replace(inputs, views={"same-target": gather(sequences, starts, targets - starts)})

    def pairs(self, model: Any, hidden: Tensor, inputs: Inputs) -> list[tuple[Tensor, Tensor]]:
        """The user vectors that ``contrast_pairs`` names."""
        histories = inputs.main.histories
        found = []
        if self.compared != "crossed":
            newest = hidden if self.main.newest_only else histories.gather_last(hidden)
        if self.compared in ("dropout", "both"):
            found.append((newest, self.main.read(model, histories)))
        if self.compared in ("same-target", "both"):
            found.append((newest, self.main.read(model, inputs.views["same-target"])))
        if self.compared == "crossed":
            again = self.main.read(model, histories)
            found.append((again, self.main.read(model, inputs.views["same-target"])))
        return found


@dataclass(frozen=True)
class SameTarget:
    """For each item the events of the training histories where it is a target.

    Attributes:
        positions: positions in ``Sequences.items``, ordered by their items [N].
        offsets: those of item i are at ``offsets[i]:offsets[i + 1]`` [V + 2].
        begins: position of the first event of each training history, ascending [U].
    """

    positions: Int64s
    offsets: Int64s
    begins: Int64s

    @classmethod
    def of(cls, sequences: Sequences, split: Split) -> "SameTarget":
        """The index of a training part: every event but each history's first is a target."""
        counts = np.maximum(split.history_end - split.history_start - 1, 0)
        before = np.cumsum(counts) - counts
        positions = np.repeat(split.history_start + 1 - before, counts) + np.arange(counts.sum())
        items = sequences.items[positions]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(items, minlength=1))])
        ordered = positions[np.argsort(items, kind="stable")]
        return cls(ordered, offsets.astype(np.int64), split.history_start)

    def others(
        self, sequences: Sequences, targets: Int64s, generator: np.random.Generator
    ) -> Int64s:
        """For each target another one with the same item, or itself if there is no other [B]."""
        items = sequences.items[targets]
        first, last = self.offsets[items], self.offsets[items + 1] - 1
        # One of all but the last; if the target itself is drawn, the last replaces it.
        drawn = first + np.floor(generator.random(len(targets)) * (last - first)).astype(np.int64)
        found = self.positions[drawn]
        return np.where(found == targets, self.positions[last], found)

    def begin_of(self, positions: Int64s) -> Int64s:
        """The position of the first event of the history that each position belongs to [B]."""
        return self.begins[np.searchsorted(self.begins, positions, side="right") - 1]
