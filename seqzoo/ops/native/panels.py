"""Matrices as the compiled kernels multiply by them: see ``rows.h``."""

from torch import Tensor
from torch.nn import functional

__all__ = ["PANEL", "in_panels", "padded"]

PANEL = 16
"""Outputs whose weights lie together."""


def padded(values: Tensor) -> Tensor:
    """Float32 with zeros up to whole panels: [..., outputs] -> [..., panels * 16]."""
    values = values.detach().float()
    return functional.pad(values, (0, -values.shape[-1] % PANEL)).contiguous()


def in_panels(weight: Tensor) -> Tensor:
    """The weights of each panel together: [..., outputs] -> [panels, ..., 16]."""
    weight = padded(weight)
    return weight.view(*weight.shape[:-1], -1, PANEL).movedim(-2, 0).contiguous()
