"""Leaf tensors and gradients for comparisons of kernels with their equations."""

import torch
from torch import Tensor


def leaves(tensors: list[Tensor], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Copies that require gradients."""
    return [tensor.to(dtype).detach().clone().requires_grad_() for tensor in tensors]


def gradients(outputs: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of the inputs from a weighted sum of the outputs."""
    weights = torch.linspace(-1.0, 2.0, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return torch.autograd.grad((outputs * weights).sum(), inputs)
