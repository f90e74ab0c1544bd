"""Positions after the end of a sequence."""

import torch
from torch import Tensor

__all__ = ["masked_steps"]


def masked_steps(step: Tensor, lengths: Tensor) -> Tensor:
    """Step sizes [B, L, ...] that are zero at and after ``lengths`` [B].

    With a step size of zero a state neither decays nor changes.
    """
    positions = torch.arange(step.shape[1], device=step.device)
    return step.masked_fill((positions >= lengths[:, None])[..., None], 0.0)
