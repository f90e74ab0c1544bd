"""Generated interactions whose order a model can learn, for tests and first steps."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.data.interactions import Interactions
from seqzoo.errors import UsageError, nearest

__all__ = ["Int64s", "synthetic", "synthetic_from_options"]

_SHORTEST = 5
_ITEMS_PER_CLUSTER = 20
_SUCCESSORS = 3

# The next item is mostly a successor of the last, else of the same cluster, else any item.
_FROM_SUCCESSORS = 0.6
_FROM_CLUSTER = 0.3
_SUCCESSOR_SHARES = (0.6, 0.3, 0.1)

_ZIPF_EXPONENT = 0.8
_START = 1_577_836_800  # 2020-01-01
_YEAR = 365 * 86_400

Int64s = npt.NDArray[np.int64]


def synthetic(
    users: int = 500, items: int = 200, mean_length: int = 30, seed: int = 0
) -> Interactions:
    """Generate interactions; the same arguments give the same table.

    Items belong to clusters. The next item is usually one of three successors of the last (60, 30
    and 10 %), else an item of its cluster, else any item, more often a popular one. So the last
    item predicts the next one well. The items of a session are minutes apart, sessions are days
    apart.

    Args:
        users: number of users; their ids are ``u1``, ``u2``, …
        items: number of items to choose from; their ids are ``i1``, ``i2``, …
        mean_length: mean sequence length, at least 5; the shortest sequences have 5 events.
        seed: seed of the random generator.

    Raises:
        UsageError: an argument is not a whole number or too small.
    """
    for name, value, least in (
        ("users", users, 2),
        ("items", items, _SUCCESSORS + 1),
        ("mean_length", mean_length, _SHORTEST),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"synthetic: {name} is {value!r}; expected a whole number >= {least}")
    random = np.random.default_rng(seed)
    # Longest first: the users who are still active at a step are then the first ones.
    lengths = _SHORTEST - 1 + random.geometric(1.0 / (mean_length - _SHORTEST + 1), users)
    lengths = np.sort(lengths)[::-1]
    successors = random.integers(0, items, (items, _SUCCESSORS))
    clusters = max(1, items // _ITEMS_PER_CLUSTER)
    offsets = np.concatenate([[0], np.cumsum(lengths)])

    chosen = np.empty(offsets[-1], dtype=np.int64)
    current = _popular(random, users, items)
    chosen[offsets[:-1]] = current
    for step in range(1, int(lengths[0])):
        active = int(np.searchsorted(-lengths, -step, side="left"))
        current = _following(random, current[:active], successors, clusters)
        chosen[offsets[:active] + step] = current

    times = _timestamps(random, offsets)
    # Ids in random order: otherwise they would be sorted by sequence length.
    names = random.permutation(users) + 1
    frame = pl.DataFrame(
        {
            "user": pl.Series(np.repeat(names, lengths)),
            "item": pl.Series(chosen + 1),
            "order": pl.Series(times),
        }
    ).with_columns(pl.format("u{}", "user").alias("user"), pl.format("i{}", "item").alias("item"))
    labels = {
        f"i{item + 1}": f"Item {item + 1} of group {item % clusters + 1}" for item in range(items)
    }
    return Interactions.from_frame(frame, labels=labels, name="synthetic", has_times=True)


def synthetic_from_options(options: Mapping[str, object]) -> Interactions:
    """Call :func:`synthetic` with a mapping of arguments, as the registry does.

    Raises:
        UsageError: an option is unknown, not a whole number or too small.
    """
    known = {"users": 500, "items": 200, "mean_length": 30, "seed": 0}
    for name, value in options.items():
        if name not in known:
            raise UsageError(
                f"synthetic has no option '{name}'; expected {', '.join(known)}"
                f"{nearest(name, known)}"
            )
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"synthetic: {name} is {value!r}; expected a whole number")
        known[name] = value
    return synthetic(**known)


def _popular(random: np.random.Generator, count: int, size: int) -> Int64s:
    """Draw ranks 0..size-1 (count,) by Zipf's law: low ranks are the popular ones."""
    shares = np.cumsum(np.arange(1, size + 1, dtype=np.float64) ** -_ZIPF_EXPONENT)
    drawn = random.random(count) * shares[-1]
    ranks: Int64s = np.searchsorted(shares, drawn, side="right").astype(np.int64)
    return ranks


def _following(
    random: np.random.Generator, current: Int64s, successors: Int64s, clusters: int
) -> Int64s:
    """Draw the next item of each user: ``current`` (A,) to (A,)."""
    count, items = len(current), len(successors)
    which = np.searchsorted(np.cumsum(_SUCCESSOR_SHARES[:-1]), random.random(count), side="right")
    following = successors[current, which]
    # Item i is in cluster i % clusters. The last items are left out, so that all are of one size.
    in_cluster = _popular(random, count, items // clusters) * clusters + current % clusters
    anywhere = _popular(random, count, items)
    draw = random.random(count)
    return np.where(
        draw < _FROM_SUCCESSORS,
        following,
        np.where(draw < _FROM_SUCCESSORS + _FROM_CLUSTER, in_cluster, anywhere),
    )


def _timestamps(random: np.random.Generator, offsets: Int64s) -> Int64s:
    """Draw unix seconds (N,) that rise within each user."""
    total = int(offsets[-1])
    minutes = 1 + random.exponential(180.0, total).astype(np.int64)
    days = 3_600 + random.exponential(4 * 86_400.0, total).astype(np.int64)
    gaps = np.where(random.random(total) < 0.8, minutes, days)
    elapsed = np.cumsum(gaps)
    starts = offsets[:-1]
    first = elapsed[starts]
    begin = _START + random.integers(0, _YEAR, len(starts))
    times: Int64s = elapsed + np.repeat(begin - first, np.diff(offsets))
    return times
