"""Evaluation: protocols as data, ranks over the whole catalogue, metrics and stored metrics.

The names below are imported when they are first used: importing this package imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqzoo.evaluation.comparison import Comparison
    from seqzoo.evaluation.evaluate import Evaluation
    from seqzoo.evaluation.protocol import Protocol, get_protocol

_HOMES = {
    "Comparison": "seqzoo.evaluation.comparison",
    "Evaluation": "seqzoo.evaluation.evaluate",
    "Protocol": "seqzoo.evaluation.protocol",
    "get_protocol": "seqzoo.evaluation.protocol",
}

__all__ = ["Comparison", "Evaluation", "Protocol", "get_protocol"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'seqzoo.evaluation' has no attribute '{name}'")
