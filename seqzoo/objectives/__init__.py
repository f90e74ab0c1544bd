"""Objectives: which positions of a history predict what, from which inputs.

An objective selects pairs of user vector and target; the head computes their loss. ``Objective`` is
the interface, ``RowObjective`` the base of those that end in such pairs, ``ContrastiveObjective``
that of those that add a contrastive term to another objective, and ``NextItem`` the default. The
other names are what objectives are made of.
"""

from seqzoo.data.batches import (
    TrainingBatch,
    Windows,
    gather,
    training_batch,
    training_batches,
    training_windows,
)
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.objectives.base import Inputs, Objective, WindowSettings
from seqzoo.objectives.contrast import ContrastiveObjective, info_nce
from seqzoo.objectives.rows import NextItem, RowObjective

__all__ = [
    "ContrastiveObjective",
    "Inputs",
    "NextItem",
    "Objective",
    "RowObjective",
    "Sequences",
    "Split",
    "TrainingBatch",
    "WindowSettings",
    "Windows",
    "gather",
    "info_nce",
    "training_batch",
    "training_batches",
    "training_windows",
]
