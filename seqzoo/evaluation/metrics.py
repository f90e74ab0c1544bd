"""Ranking metrics of one relevant item, as functions of its place: ``gain(places, cutoff)``.

Places count from 1. How ties are shared out is not the metrics' business:
``seqzoo.evaluation.ranks`` averages the gain over the places that a tie could take.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def hit(places: Floats, cutoff: int) -> Floats:
    """1 where the place is within the cutoff; with one relevant item the same as recall."""
    return (places <= cutoff).astype(np.float64)


def ndcg(places: Floats, cutoff: int) -> Floats:
    """``1 / log2(place + 1)`` within the cutoff (Järvelin and Kekäläinen 2002, binary gain)."""
    return hit(places, cutoff) / np.log2(places + 1.0)


def mrr(places: Floats, cutoff: int) -> Floats:
    """``1 / place`` within the cutoff."""
    return hit(places, cutoff) / places
