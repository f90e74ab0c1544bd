"""Ranking metrics of one relevant item, as functions of its rank: ``gain(ranks, cutoff)``.

Ranks count from 1. Metrics do not handle ties: ``seqzoo.evaluation.ranks`` averages the gain over
the ranks that a tie could take.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "hit", "mrr", "ndcg"]

Floats = npt.NDArray[np.float64]


def hit(ranks: Floats, cutoff: int) -> Floats:
    """1 where the rank is within the cutoff; with one relevant item the same as recall."""
    return (ranks <= cutoff).astype(np.float64)


def ndcg(ranks: Floats, cutoff: int) -> Floats:
    """``1 / log2(rank + 1)`` within the cutoff (Järvelin and Kekäläinen 2002, binary gain)."""
    return hit(ranks, cutoff) / np.log2(ranks + 1.0)


def mrr(ranks: Floats, cutoff: int) -> Floats:
    """``1 / rank`` within the cutoff."""
    return hit(ranks, cutoff) / ranks
