"""Checks of registered splits and of metrics of lists."""

from typing import Any

import numpy as np

from seqzoo.data.build import build_sequences
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import PARTS, Split, choose_split, in_histories
from seqzoo.data.synthetic import synthetic
from seqzoo.evaluation.lists import ItemCategories, RecommendedLists
from seqzoo.plugins import catalogue
from seqzoo.testing.errors import ConformanceError

__all__ = ["check_list_metric", "check_split"]

_CUTOFFS = (1, 5, 10)


def check_split(name: str, **settings: Any) -> None:
    """The parts of a split lie within users' events, do not leak, and are the same each time.

    Generated data with timestamps are split.
    """
    chosen = choose_split(name, settings)
    data = build_sequences(synthetic(users=80, items=40, mean_length=15))
    before = data.sequences.items.copy()
    parts = {part: chosen.part(data, part) for part in PARTS}
    for part, found in parts.items():
        _check_rows(name, part, found, data)
        again = chosen.part(data, part)
        if not all(
            np.array_equal(getattr(found, key), getattr(again, key))
            for key in ("history_start", "history_end", "target", "users")
        ):
            raise ConformanceError(f"split '{name}' gives another part '{part}' the second time")
    if not np.array_equal(data.sequences.items, before):
        raise ConformanceError(f"split '{name}' changes the sequences that it is given")
    if len(parts["train"]) != len(data.users):
        raise ConformanceError(
            f"split '{name}' has {len(parts['train'])} rows of {len(data.users)} users in 'train'; "
            "expected one row for each user, with an empty history where nothing is for training"
        )
    trained = in_histories(data.sequences, parts["train"])
    validated = in_histories(data.sequences, parts["valid"])
    for part, used, what in (
        ("valid", trained, "histories of 'train'"),
        ("test", trained, "histories of 'train'"),
        ("test", validated, "histories of 'valid'"),
    ):
        if used[parts[part].target].any():
            raise ConformanceError(f"split '{name}' leaks: targets of '{part}' are in {what}")
    if np.intersect1d(parts["valid"].target, parts["test"].target).size:
        raise ConformanceError(f"split '{name}' leaks: 'valid' and 'test' share targets")


def _check_rows(name: str, part: str, found: Split, data: SequenceData) -> None:
    where = f"split '{name}', part '{part}'"
    columns = (found.history_start, found.history_end, found.target, found.users)
    if any(column.dtype != np.int64 or column.shape != found.users.shape for column in columns):
        raise ConformanceError(f"{where}: expected four int64 arrays of one length")
    if (np.diff(found.users) < 0).any():
        raise ConformanceError(f"{where}: the users are not in ascending order")
    starts = data.sequences.offsets[:-1][found.users]
    ends = data.sequences.offsets[1:][found.users]
    last = found.history_end if part == "train" else found.target
    inside = (found.history_start >= starts) & (found.history_end >= found.history_start)
    inside &= last <= (ends if part == "train" else ends - 1)
    if not inside.all():
        raise ConformanceError(f"{where}: a history or a target is not among its user's events")
    if part == "train":
        if (found.target != -1).any():
            raise ConformanceError(f"{where}: the targets of the training part are -1")
    elif (found.history_end == found.history_start).any():
        raise ConformanceError(f"{where}: a target has no event before it")
    elif (found.target < found.history_end).any():
        raise ConformanceError(f"{where}: a target is in its own history, which shows the answer")


def check_list_metric(name: str) -> None:
    """A metric of lists is one finite number that the order of users does not change.

    It reads no item beyond its cutoff, changes nothing, and takes lists with fewer items. It may
    return None where it has nothing to compute from.
    """
    metric = catalogue().metrics.get(name).load()
    random = np.random.default_rng(0)
    items = np.stack([random.permutation(np.arange(1, 41))[:20] for _ in range(30)])
    items[0, 3:] = 0
    names = [f"item-{index}" for index in range(1, 41)]
    categories = {name: (f"c{index % 5}", f"d{index % 3}") for index, name in enumerate(names)}
    counts = np.concatenate([[0], random.integers(0, 50, 40)])
    lists = RecommendedLists(items, counts, ItemCategories.of(names, categories))
    before = items.copy()
    for cutoff in _CUTOFFS:
        value = metric(lists, cutoff)
        if value is None:
            continue
        if np.ndim(value) != 0 or not np.isfinite(value):
            raise ConformanceError(
                f"metric '{name}' returns {value!r} at cutoff {cutoff}; expected one finite number "
                "for all lists together, or None"
            )
        for other, what in (
            (items[::-1].copy(), "depends on the order of the users"),
            (items[:, :cutoff].copy(), f"reads items beyond its cutoff {cutoff}"),
        ):
            again = metric(RecommendedLists(other, counts, lists.categories), cutoff)
            if again is None or not np.isclose(again, value, rtol=1e-9, atol=1e-12):
                raise ConformanceError(f"metric '{name}' {what}: {value} and {again}")
    if not np.array_equal(items, before):
        raise ConformanceError(f"metric '{name}' changes the lists that it is given")
