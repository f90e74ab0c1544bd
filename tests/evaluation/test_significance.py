"""Bootstrap, randomisation test and Holm's correction, against plain loops and simulations."""

import itertools
import random

import numpy as np
import pytest

from seqzoo.evaluation import significance
from seqzoo.evaluation.significance import bootstrap_means, holm, interval, randomisation_test


def column(*values):
    return np.asarray(values, dtype=np.float64)[:, None]


def test_the_bootstrap_draws_as_a_plain_loop_does():
    values = np.random.default_rng(0).random((40, 1)) ** 3
    chance = random.Random(0)
    column = values[:, 0].tolist()
    plain = sorted(sum(chance.choices(column, k=40)) / 40 for _ in range(8000))
    means = bootstrap_means(values, 8000, seed=0)[:, 0]
    low, high = interval(means)
    assert low == pytest.approx(plain[200], abs=0.008)
    assert high == pytest.approx(plain[7800], abs=0.008)
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)


def test_columns_share_their_draws():
    values = np.random.default_rng(0).random((30, 1))
    means = bootstrap_means(np.hstack([values, values, values + 1]), 50, seed=0)
    np.testing.assert_array_equal(means[:, 0], means[:, 1])
    np.testing.assert_allclose(means[:, 2] - means[:, 0], 1.0)


def test_intervals_cover_the_mean_as_often_as_they_say():
    chance = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        # As a metric under a cutoff is: zero for most users.
        values = chance.random((200, 1)) * (chance.random((200, 1)) < 0.4)
        low, high = interval(bootstrap_means(values, 400, seed=trial)[:, 0])
        covered += low <= 0.2 <= high
    assert 0.91 <= covered / 300 <= 0.98


@pytest.mark.parametrize("seed", range(3))
def test_p_values_are_near_those_of_all_signs(seed):
    differences = np.random.default_rng(seed).normal(0.3, 1.0, 12)
    total = abs(differences.sum())
    signs = list(itertools.product((-1, 1), repeat=12))
    exact = sum(
        abs(sum(s * d for s, d in zip(row, differences, strict=True))) >= total - 1e-9
        for row in signs
    ) / len(signs)
    (found,) = randomisation_test(differences[:, None], 20_000, seed=0)
    assert found == pytest.approx(exact, abs=0.015)


def test_a_planted_difference_is_found_and_none_is_not():
    chance = np.random.default_rng(0)
    better = chance.random((2000, 1)) + 0.1
    worse = chance.random((2000, 1))
    planted, none = randomisation_test(np.hstack([better - worse, worse * 0]), 1000, seed=0)
    assert planted == 1 / 1001
    assert none == 1.0
    assert randomisation_test(np.zeros((5, 1)), 100, seed=0) == [1.0]


def test_under_the_hypothesis_small_p_values_are_as_rare_as_they_say():
    chance = np.random.default_rng(0)
    found = [randomisation_test(chance.normal(size=(60, 1)), 199, seed)[0] for seed in range(400)]
    assert 0.02 <= np.mean(np.asarray(found) <= 0.05) <= 0.09
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_ties_count_despite_rounding():
    """With three equal differences, T* is as large as T in 2 of 8 cases."""
    (found,) = randomisation_test(column(0.1, 0.1, 0.1), 20_000, seed=0)
    assert found == pytest.approx(0.25, abs=0.02)


def test_users_without_a_difference_do_not_matter():
    differences = np.random.default_rng(0).normal(0.2, 1.0, (50, 2))
    with_zeros = np.vstack([np.zeros((30, 2)), differences, np.zeros((20, 2))])
    assert randomisation_test(with_zeros, 500, 0) == randomisation_test(differences, 500, 0)


def test_the_same_seed_gives_the_same_and_the_sign_does_not_matter():
    values = np.random.default_rng(0).normal(0.1, 1.0, (70, 3))
    np.testing.assert_array_equal(bootstrap_means(values, 90, 5), bootstrap_means(values, 90, 5))
    assert (bootstrap_means(values, 90, 5) != bootstrap_means(values, 90, 6)).any()
    assert randomisation_test(values, 300, 5) == randomisation_test(-values, 300, 5)
    assert randomisation_test(values, 300, 5) != randomisation_test(values, 300, 6)


def test_many_blocks_do_as_one(monkeypatch):
    """Memory is bounded by cutting draws into blocks, the last of which is smaller."""
    values = np.random.default_rng(0).normal(0.25, 1.0, (64, 2))
    whole = bootstrap_means(values, 1000, 0), randomisation_test(values, 10_000, 0)
    monkeypatch.setattr(significance, "_BLOCK", 64 * 7)
    cut = bootstrap_means(values, 1000, 0), randomisation_test(values, 10_000, 0)
    assert cut[0].shape == (1000, 2)
    np.testing.assert_allclose(interval(cut[0][:, 0]), interval(whole[0][:, 0]), atol=0.03)
    assert cut[1] == pytest.approx(whole[1], abs=0.02)
    monkeypatch.setattr(significance, "_BLOCK", 1)
    assert bootstrap_means(values, 3, 0).shape == (3, 2)


def test_holm_as_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([0.03, 0.001, 0.02, 0.2]) == pytest.approx([0.06, 0.004, 0.06, 0.2])
