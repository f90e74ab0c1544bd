import math
from itertools import permutations

import numpy as np
import pytest

from seqzoo.evaluation.metrics import hit, mrr, ndcg
from seqzoo.evaluation.ranks import Ranks

RANKS = np.array([1.0, 2.0, 3.0, 10.0, 11.0])


def test_values_written_by_hand():
    assert hit(RANKS, 10).tolist() == [1, 1, 1, 1, 0]
    assert hit(RANKS, 1).tolist() == [1, 0, 0, 0, 0]
    assert mrr(RANKS, 10).tolist() == [1, 1 / 2, 1 / 3, 1 / 10, 0]
    assert mrr(RANKS, 2).tolist() == [1, 1 / 2, 0, 0, 0]
    # log2(2) = 1, log2(4) = 2.
    assert ndcg(RANKS, 10)[[0, 2]].tolist() == [1, 0.5]
    assert ndcg(RANKS, 10)[1] == pytest.approx(0.6309297535714575, abs=1e-15)
    assert ndcg(RANKS, 10)[3] == pytest.approx(0.2890648263178879, abs=1e-15)
    assert ndcg(RANKS, 10)[4] == 0


def some_ranks(better, tied, candidates):
    return Ranks(np.array(better), np.array(tied), candidates)


@pytest.mark.parametrize("gain", [hit, ndcg, mrr])
@pytest.mark.parametrize("cutoff", [1, 3, 5, 50])
def test_a_tie_is_the_mean_over_all_orders(gain, cutoff):
    """Two are better, three are tied with the target: all 24 orders of the four."""
    values = []
    for order in permutations(["target", "a", "b", "c"]):
        rank = 2 + order.index("target") + 1
        values.append(gain(np.array([float(rank)]), cutoff)[0])
    got = some_ranks([2], [4], 9).mean_gain(gain, cutoff)
    assert got == pytest.approx([sum(values) / 24], abs=1e-15)


def test_without_ties_the_mean_gain_is_the_gain():
    ranks = some_ranks([0, 1, 2, 9, 10], [1] * 5, 11)
    for gain in (hit, ndcg, mrr):
        np.testing.assert_allclose(ranks.mean_gain(gain, 10), gain(RANKS, 10), atol=1e-15)


def test_everything_tied_is_chance():
    ranks = some_ranks([0] * 3, [40] * 3, 40)
    metrics = {
        f"{gain.__name__}@{cutoff}": ranks.mean_gain(gain, cutoff).mean()
        for gain in (hit, ndcg, mrr)
        for cutoff in (1, 10, 50)
    }
    for name, chance in {"hit@1": 1 / 40, "mrr@1": 1 / 40, "hit@10": 1 / 4, "hit@50": 1}.items():
        assert metrics[name] == pytest.approx(chance, abs=1e-16)
    assert metrics["mrr@10"] == pytest.approx(sum(1 / p for p in range(1, 11)) / 40, abs=1e-15)
    discounts = [1 / math.log2(rank + 1) for rank in range(1, 11)]
    assert metrics["ndcg@10"] == pytest.approx(sum(discounts) / 40, abs=1e-15)
