"""The training objective: the inputs, and the target at each position.

The objective selects pairs of user vector and target, and the head computes their loss.
"""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from seqzoo.data.batches import (
    TrainingBatch,
    Windows,
    training_batch,
    training_batches,
    training_windows,
)
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.model.sequence_model import SequenceModel

if TYPE_CHECKING:
    from seqzoo.training.recipe import TrainConfig


class NextItem:
    """Predict the next item: at every position if the backbone is causal, else at the last.

    A backbone that is not causal sees the targets of the earlier positions, so it trains on the
    last position of a random prefix of each window.
    """

    def __init__(self, causal: bool) -> None:
        self.every_position = causal

    def plan(
        self, split: Split, max_length: int, config: "TrainConfig", generator: np.random.Generator
    ) -> list[Windows]:
        """The batches of one epoch, in training order; all randomness comes from ``generator``."""
        windows = training_windows(
            split, max_length, generator, config.shift_windows, config.context
        )
        return training_batches(
            windows,
            positions_per_batch=config.batch_size * max_length,
            generator=generator,
            every_position=self.every_position,
        )

    def batch(self, sequences: Sequences, windows: Windows) -> TrainingBatch:
        """The tensors of one batch."""
        return training_batch(sequences, windows, self.every_position)

    def count(self, windows: Windows) -> int:
        """The number of targets in a batch."""
        if self.every_position:
            return int((windows.lengths - windows.contexts).sum())
        return len(windows)

    def loss(self, model: SequenceModel, batch: TrainingBatch) -> Tensor:
        """The mean loss over the targets of a batch."""
        targets = batch.targets
        if self.every_position:
            wanted = targets > 0
            return model.head.loss(model(batch.histories)[wanted], targets[wanted])
        # One target a row: its column of ``targets`` is the only one that is not 0.
        wanted = targets.sum(1) > 0
        return model.head.loss(model.last(batch.histories)[wanted], targets.sum(1)[wanted])


class ModelWithLoss(nn.Module):
    """Model and objective in one forward pass, which accelerate wraps for several processes."""

    def __init__(self, model: SequenceModel, objective: NextItem) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: TrainingBatch) -> Tensor:
        """The mean loss over the targets of a batch."""
        return self.objective.loss(self.model, batch)
