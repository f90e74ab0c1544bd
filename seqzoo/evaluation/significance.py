"""The certainty of a comparison: paired bootstrap, paired randomisation test, Holm's correction.

Everything is paired over users: one draw of users, or of signs, serves all models at once. Work is
done in blocks, so that memory does not grow with the number of draws. The same seed gives the same
results.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "bootstrap_means", "holm", "interval", "randomisation_test"]

Floats = npt.NDArray[np.float64]

_BLOCK = 2**21
"""Number of values in the largest array of one block: 16 MiB in float64."""
_BOOTSTRAP, _SIGNS = 0, 1
_ROUNDING = 1e-9


def bootstrap_means(values: Floats, resamples: int, seed: int) -> Floats:
    """Means of resampled users, drawn with replacement; every column has the same draws.

    Args:
        values: one row for each user [M, C].
        resamples: number R of resamples.
        seed: random seed.

    Returns:
        Means [R, C].
    """
    users = len(values)
    random = np.random.default_rng([seed, _BOOTSTRAP])
    means = np.empty((resamples, values.shape[1]))
    rows = max(1, _BLOCK // users)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        drawn = random.integers(0, users, (count, users))
        drawn += np.arange(count)[:, None] * users
        weights = np.bincount(drawn.ravel(), minlength=count * users).reshape(count, users)
        means[first : first + count] = weights.astype(np.float64) @ values / users
    return means


def interval(means: Floats, level: float = 0.95) -> list[float]:
    """The percentile interval of bootstrapped means [R]: its low and high end."""
    outside = (1.0 - level) / 2
    low, high = np.quantile(means, [outside, 1.0 - outside])
    return [float(low), float(high)]


def randomisation_test(differences: Floats, permutations: int, seed: int) -> list[float]:
    """Two-sided p-values of the paired randomisation test of each column's mean being zero.

    Under the null hypothesis that two models are equal, each user's difference has either sign with
    the same probability. ``p = (1 + count(|T*| >= |T|)) / (permutations + 1)``, where T is the sum
    of the differences and T* their sum under random signs; that is never 0.

    Args:
        differences: one row for each user, one column for each pair of models [M, P].
        permutations: number of random sign changes.
        seed: random seed.
    """
    # A difference of zero has no sign, and with a cutoff most users are zero for both models.
    kept = differences[np.any(differences != 0, axis=1)]
    users = len(kept)
    if not users:
        return [1.0] * differences.shape[1]
    total = kept.sum(axis=0)
    # Sums in another order differ by rounding errors, and a tie must still count.
    least = np.abs(total) - _ROUNDING * np.abs(kept).sum(axis=0)
    random = np.random.default_rng([seed, _SIGNS])
    extreme = np.zeros(differences.shape[1], dtype=np.int64)
    width = -(-users // 8)
    rows = max(1, _BLOCK // users)
    for first in range(0, permutations, rows):
        count = min(rows, permutations - first)
        octets = random.integers(0, 256, (count, width), dtype=np.uint8)
        positive = np.unpackbits(octets, axis=1, count=users).astype(np.float64)
        sums = 2.0 * (positive @ kept) - total
        extreme += (np.abs(sums) >= least).sum(axis=0)
    return [float(p) for p in (1 + extreme) / (permutations + 1)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values with the correction of Holm (1979), in the order they were given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for before, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - before) * p_values[index]))
        adjusted[index] = largest
    return adjusted
