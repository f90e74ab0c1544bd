"""Metrics of recommended lists: ``metric(lists, cutoff)``, one number for the lists of all users.

Unlike the metrics of ranks they do not look at the held-out items. Each returns None where there
is nothing to compute it from.
"""

import numpy as np
import numpy.typing as npt

from seqzoo.evaluation.lists import RecommendedLists

__all__ = ["arp", "coverage", "diversity", "gini", "novelty"]

_BLOCK = 1 << 23
"""Number of values in the largest array of one block of lists: 32 MiB in float32."""


def coverage(lists: RecommendedLists, cutoff: int) -> float:
    """The share of all items that appear in at least one list.

    Catalogue coverage, Ge, Delgado-Battenfeld and Jannach (2010), "Beyond accuracy: evaluating
    recommender systems by coverage and serendipity" (RecSys).
    """
    return float(np.count_nonzero(lists.frequencies(cutoff)) / (len(lists.counts) - 1))


def novelty(lists: RecommendedLists, cutoff: int) -> float | None:
    """The mean self-information of the recommended items, in bits: ``-log2 p(i)``.

    ``p(i)`` is the item's share of the interactions in training, as in Zhou et al. (2010), "Solving
    the apparent diversity-accuracy dilemma of recommender systems" (PNAS 107:10), with the
    probability of Vargas and Castells (2011), "Rank and relevance in novelty and diversity metrics
    for recommender systems" (RecSys), free discovery. An item without interactions counts as if it
    had one. The mean is over the lists, of the mean over each list.
    """
    total = int(lists.counts.sum())
    if not total:
        return None
    return _mean_over_lists(-np.log2(np.maximum(lists.counts, 1) / total), lists, cutoff)


def arp(lists: RecommendedLists, cutoff: int) -> float | None:
    """Average recommendation popularity: the mean number of interactions of recommended items.

    Yin, Cui, Li, Yao and Chen (2012), "Challenging the long tail recommendation" (PVLDB 5:9). The
    interactions are those in training; the mean is over the lists, of the mean over each list.
    """
    return _mean_over_lists(lists.counts.astype(np.float64), lists, cutoff)


def gini(lists: RecommendedLists, cutoff: int) -> float | None:
    """The Gini index of how often items are recommended: 0 if all equally often, 1 if only one.

    ``sum_j (2 j - V - 1) p(j) / (V - 1)`` over the items in ascending order of their share ``p`` of
    all positions, as in Castells, Hurley and Vargas (2015), "Novelty and diversity in recommender
    systems" (Recommender Systems Handbook).
    """
    frequencies = np.sort(lists.frequencies(cutoff))
    size, total = len(frequencies), int(frequencies.sum())
    if size < 2 or not total:
        return None
    weights = 2.0 * np.arange(1, size + 1) - size - 1
    return float(weights @ frequencies / total / (size - 1))


def diversity(lists: RecommendedLists, cutoff: int) -> float | None:
    """Intra-list diversity: the mean distance of two items of a list, averaged over the lists.

    The distance is one minus the Jaccard similarity of the items' categories; 0 is a list of items
    of the same categories. Items without a category are left out, and so are lists with fewer than
    two others. Intra-list similarity is of Ziegler, McNee, Konstan and Lausen (2005), "Improving
    recommendation lists through topic diversification" (WWW).
    """
    if lists.categories is None or cutoff < 2:
        return None
    table = lists.categories.table
    items, total, number = lists.top(cutoff), 0.0, 0
    rows = max(1, _BLOCK // (items.shape[1] * max(cutoff, table.shape[1])))
    for first in range(0, len(items), rows):
        # For each list and category, which items of the list have it: (B, K, C).
        chosen = table[items[first : first + rows]].astype(np.float32)
        sizes = chosen.sum(2)
        common = chosen @ chosen.transpose(0, 2, 1)
        union = sizes[:, :, None] + sizes[:, None, :] - common
        pairs = np.triu((sizes[:, :, None] > 0) & (sizes[:, None, :] > 0), 1)
        counts = pairs.sum((1, 2))
        distances = np.where(pairs, 1.0 - common / np.maximum(union, 1.0), 0.0).sum((1, 2))
        total += float((distances[counts > 0] / counts[counts > 0]).sum())
        number += int(np.count_nonzero(counts))
    return total / number if number else None


def _mean_over_lists(
    values: npt.NDArray[np.float64], lists: RecommendedLists, cutoff: int
) -> float | None:
    """The mean over the lists of the mean value of each list's items; None without any item."""
    items = lists.top(cutoff)
    present = items > 0
    lengths = present.sum(1)
    means = (values[items] * present).sum(1)[lengths > 0] / lengths[lengths > 0]
    return float(means.mean()) if len(means) else None
