"""Evaluation mode while something is computed, safe for several threads at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import nn

__all__ = ["inference"]


@dataclass
class _Entered:
    """How many threads are inside, and which modules were in training mode before."""

    threads: int
    training: list[nn.Module]


_LOCK = threading.Lock()
_ENTERED: WeakKeyDictionary[nn.Module, _Entered] = WeakKeyDictionary()


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Compute without gradients and in evaluation mode; then restore the mode of every module.

    The first thread that enters switches the mode and the last one that leaves restores it, module
    by module, so frozen parts of a model in training stay frozen.
    """
    with _LOCK:
        entered = _ENTERED.get(model)
        if entered is None and (training := _in_training(model)):
            entered = _ENTERED[model] = _Entered(0, training)
            for module in training:
                module.training = False
        if entered is not None:
            entered.threads += 1
    try:
        with torch.inference_mode():
            yield
    finally:
        if entered is not None:
            with _LOCK:
                entered.threads -= 1
                if not entered.threads:
                    for module in entered.training:
                        module.training = True
                    del _ENTERED[model]


def _in_training(model: nn.Module) -> list[nn.Module]:
    """The modules in training mode: ``model.modules()`` takes longer than a small computation."""
    found = []
    left: list[nn.Module | None] = [model]
    while left:
        module = left.pop()
        if module is not None:
            if module.training:
                found.append(module)
            left.extend(module._modules.values())
    return found
