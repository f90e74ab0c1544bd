import numpy as np
import pytest

from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import k_core
from seqzoo.data.synthetic import synthetic, synthetic_from_options
from seqzoo.errors import UsageError


def test_a_seed_gives_one_table():
    assert synthetic(seed=3).frame.equals(synthetic(seed=3).frame)
    assert not synthetic(seed=3).frame.equals(synthetic(seed=4).frame)


def test_the_5_core_keeps_all_of_the_default_size():
    data = synthetic()
    core = k_core(data)
    assert (core.num_users, core.num_items) == (500, 200)
    assert 24 < len(data) / 500 < 36
    assert data.has_times
    assert set(data.labels) >= set(data.frame["item"])


@pytest.mark.parametrize("size", [(2, 4, 5), (50, 19, 5), (2000, 1000, 80)])
def test_other_sizes(size):
    users, items, mean_length = size
    data = build_sequences(synthetic(*size))
    assert len(data.sequences) == users
    assert len(data.vocabulary) <= items
    assert data.sequences.lengths.min() >= 5
    assert abs(data.sequences.lengths.mean() - mean_length) <= 0.3 * mean_length
    for user in range(min(users, 20)):
        start, end = data.sequences.offsets[user : user + 2]
        assert (np.diff(data.sequences.timestamps[start:end]) > 0).all()


def test_the_last_item_predicts_the_next():
    data = build_sequences(synthetic(users=1000, items=200))
    size = len(data.vocabulary) + 1
    follows = np.zeros((size, size))
    hits = total = 0
    for items in data.sequences:
        np.add.at(follows, (items[:-2], items[1:-1]), 1)
    for items in data.sequences:
        top = np.argsort(follows[items[-2]])[-3:]
        hits, total = hits + int(items[-1] in top), total + 1
    popular = np.argsort(np.bincount(data.sequences.items))[-3:]
    chance = np.mean([items[-1] in popular for items in data.sequences])
    assert hits / total > 0.5 > 3 * chance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": 1}, "users is 1; expected a whole number >= 2"),
        ({"items": 2}, "items is 2"),
        ({"mean_length": 4}, "mean_length is 4"),
        ({"seed": -1}, "seed is -1"),
        ({"users": "many"}, "users is 'many'; expected a whole number"),
        ({"users": True}, "users is True"),
        ({"user": 10}, "no option 'user'.*did you mean 'users'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        synthetic_from_options(options)


def test_options():
    assert synthetic_from_options({"users": 7, "seed": 1}).frame.equals(
        synthetic(users=7, seed=1).frame
    )
