"""How similar all items are to one: by the head's own measure, or by their vectors."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from seqzoo.model.scoring import ScoringModel

__all__ = ["similarities"]

_SMALLEST = 1e-12


def similarities(model: "ScoringModel", index: int) -> Tensor | None:
    """Similarity of all items to one [V + 1]; None if a vector is NaN or too large.

    Raises:
        UsageError: the head has no measure of similarity.
    """
    own = model.head.similarity(index)
    if own is not None:
        return own
    table = model.embedder.item_table
    lengths = torch.linalg.vector_norm(table, dim=-1).clamp_min(_SMALLEST)
    cosines = table @ table[index] / lengths / lengths[index]
    finite = bool((cosines[1:].isfinite() & lengths[1:].isfinite()).all())
    return cosines if finite else None
