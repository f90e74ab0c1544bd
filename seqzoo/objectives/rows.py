"""Objectives that end in pairs of user vector and target: the next item."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from seqzoo.data.batches import Windows, training_batch, training_batches, training_windows
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo.objectives.base import Inputs, Objective, WindowSettings

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["NextItem", "NextItemLast", "RowObjective"]


class RowObjective(Objective):
    """The head's loss at every position that has a target; subclasses say which have one.

    Attributes:
        newest_only: whether only the newest event of each history has a target.
    """

    newest_only: bool = False

    def encode(self, model: "SequenceModel", histories: SequenceBatch) -> Tensor:
        """The vectors that predict: of the newest events [B, D], or of all positions [B, L, D]."""
        return model.last(histories) if self.newest_only else model(histories)

    def loss_of(self, model: "SequenceModel", hidden: Tensor, inputs: Inputs) -> Tensor:
        """The loss of vectors that ``encode`` has returned for ``inputs.main``."""
        targets = inputs.main.targets
        if self.newest_only:
            # One target a row: its column of ``targets`` is the only one that is not 0.
            targets = targets.sum(1)
        wanted = targets > 0
        return model.head.loss(hidden[wanted], targets[wanted]) * inputs.weight

    def loss(self, model: "SequenceModel", inputs: Inputs) -> Tensor:
        """The mean loss over the targets, multiplied by ``inputs.weight``."""
        return self.loss_of(model, self.encode(model, inputs.main.histories), inputs)


class NextItem(RowObjective):
    """Predict the next item: at every position if the backbone is causal, else at the newest.

    A backbone that is not causal sees the targets of the earlier positions, so it trains on the
    newest position of a random prefix of each window.
    """

    def __init__(self, config: Any, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.newest_only = not backbone.causal

    def plan(
        self, split: Split, settings: WindowSettings, generator: np.random.Generator
    ) -> list[Windows]:
        """The batches of one epoch, in training order."""
        windows = training_windows(
            split, settings.max_length, generator, settings.shift, settings.context
        )
        return training_batches(
            windows,
            positions_per_batch=settings.positions_per_batch,
            generator=generator,
            every_position=not self.newest_only,
        )

    def batch(
        self, sequences: Sequences, windows: Windows, generator: np.random.Generator
    ) -> Inputs:
        """The events of each window with the items that follow them."""
        return Inputs(training_batch(sequences, windows, not self.newest_only))


class NextItemLast(NextItem):
    """Predict the next item at the newest position of a random prefix, for any backbone.

    It is what RecBole's models train on, with one prefix of each window in an epoch.
    """

    def __init__(self, config: Any, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.newest_only = True
