"""Objectives: which positions of a history predict what, from which inputs.

An objective selects pairs of user vector and target; the head computes their loss. ``Objective`` is
the interface, ``RowObjective`` the base of those that end in such pairs, ``ContrastiveObjective``
that of those that add a contrastive term to another objective.
"""

from seqzoo.objectives.base import Inputs, Objective, WindowSettings
from seqzoo.objectives.contrast import ContrastiveObjective, info_nce
from seqzoo.objectives.rows import RowObjective

__all__ = [
    "ContrastiveObjective",
    "Inputs",
    "Objective",
    "RowObjective",
    "WindowSettings",
    "info_nce",
]
