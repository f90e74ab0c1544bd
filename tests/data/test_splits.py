import numpy as np
import pytest

from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import LeaveOneOut, train_counts
from seqzoo.errors import UsageError


@pytest.fixture
def sequences():
    """Users with 4, 2, 0, 3 and 1 interactions."""
    items = np.arange(1, 11, dtype=np.int32)
    return Sequences(items, None, np.array([0, 4, 6, 6, 9, 10]))


def rows(split):
    columns = (split.users, split.history_start, split.history_end, split.target)
    assert all(column.dtype == np.int64 for column in columns)
    return [tuple(int(value) for value in row) for row in zip(*columns, strict=True)]


def test_test_has_the_last(sequences):
    assert rows(LeaveOneOut().part(sequences, "test")) == [(0, 0, 3, 3), (3, 6, 8, 8)]


def test_valid_has_the_second_last(sequences):
    assert rows(LeaveOneOut().part(sequences, "valid")) == [(0, 0, 2, 2), (3, 6, 7, 7)]


def test_train_has_the_rest_and_all_of_short_users(sequences):
    assert rows(LeaveOneOut().part(sequences, "train")) == [
        (0, 0, 2, -1),
        (1, 4, 6, -1),
        (2, 6, 6, -1),
        (3, 6, 7, -1),
        (4, 9, 10, -1),
    ]


def test_no_target_is_trained_on(sequences):
    train = LeaveOneOut().part(sequences, "train")
    trained = {
        position
        for start, end in zip(train.history_start, train.history_end, strict=True)
        for position in range(start, end)
    }
    for part in ("valid", "test"):
        assert not trained & set(LeaveOneOut().part(sequences, part).target.tolist())


def test_counts_leave_out_what_is_held_out(sequences):
    # Items 3 and 4 of the first user and 8 and 9 of the fourth are targets; 11 is not in the data.
    train = LeaveOneOut().part(sequences, "train")
    assert train_counts(sequences, train, 11).tolist() == [1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0]
    items = np.array([1, 1, 1, 2, 2, 1], dtype=np.int32)
    repeated = Sequences(items, None, np.array([0, 4, 6]))
    assert train_counts(repeated, LeaveOneOut().part(repeated, "train"), 2).tolist() == [3, 1]


def test_unknown_part(sequences):
    with pytest.raises(UsageError, match=r"'validation' is unknown.*did you mean 'valid'"):
        LeaveOneOut().part(sequences, "validation")
