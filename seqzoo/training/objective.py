"""How training uses a model's objective: windows, random numbers, and one module with the loss."""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from seqzoo.model.sequence_model import SequenceModel
from seqzoo.objectives.base import Inputs, Objective, WindowSettings

if TYPE_CHECKING:
    from seqzoo.training.recipe import TrainConfig

__all__ = ["ModelWithLoss", "batch_generator", "window_settings"]


class ModelWithLoss(nn.Module):
    """Model and objective in one forward pass, which accelerate wraps for several processes."""

    def __init__(self, model: SequenceModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, inputs: Inputs) -> Tensor:
        """The mean loss over the targets of a batch, times the weight of this share of it."""
        return self.objective.loss(self.model, inputs)


def window_settings(config: "TrainConfig", max_length: int) -> WindowSettings:
    """How a recipe cuts training histories for a model that reads ``max_length`` events."""
    return WindowSettings(
        max_length=max_length,
        positions_per_batch=config.batch_size * max_length,
        shift=config.shift_windows,
        context=config.context,
    )


def batch_generator(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """The generator of masks and views, the same in all processes and in a resumed run."""
    # Counted from 1: numpy takes seeds that differ by zeros at their end for the same.
    return np.random.default_rng([seed, epoch, batch + 1])
