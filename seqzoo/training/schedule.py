"""Learning rates and parameter groups."""

import math
from typing import Any

from torch import nn

from seqzoo.training.recipe import TrainConfig

__all__ = ["learning_rate", "parameter_groups"]


def learning_rate(config: TrainConfig, epoch: float) -> float:
    """The learning rate after ``epoch`` epochs, which may be a fraction.

    It depends only on the position in training, so resuming needs no state for it.
    """
    if epoch < config.warmup:
        return config.lr * (epoch + 1e-3) / (config.warmup + 1e-3)
    if config.schedule == "constant":
        return config.lr
    progress = (epoch - config.warmup) / max(config.epochs - config.warmup, 1e-9)
    if config.schedule == "linear":
        return config.lr * (1.0 - progress)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; biases, norms and ``_no_weight_decay`` parameters without.

    Frozen parameters are in no group.
    """
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        exempt = parameter.ndim < 2 or getattr(parameter, "_no_weight_decay", False)
        (others if exempt else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
