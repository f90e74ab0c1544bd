"""Mixed precision: kernels that accumulate run in float32 or wider, also under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = [
    "widened",
    "without_autocast",
]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast, on a device that has autocast."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def widened(tensor: Tensor) -> Tensor:
    """Half precision converted to float32; other dtypes unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
