"""The split by time, by hand and against plain loops."""

import numpy as np
import pytest

from seqzoo.data.build import build_sequences
from seqzoo.data.sequences import SequenceData, Sequences
from seqzoo.data.splits import choose_split, split_text, train_counts
from seqzoo.data.synthetic import synthetic
from seqzoo.data.time_split import TimeSplit
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, DataError, UnknownNameError, UsageError

TIMES = [
    [10, 20, 30, 40],  # in every part
    [10, 11],  # only in training
    [35, 36, 37],  # new in validation
    [45, 46],  # new in testing
    [47],  # new in testing, a single event
    [12, 30],  # from training to validation
]


def made(times=TIMES):
    """Item i + 1 at position i."""
    flat = np.array([time for user in times for time in user], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in times])]).astype(np.int64)
    return Sequences(np.arange(1, len(flat) + 1, dtype=np.int32), flat, offsets)


def split(part, sequences=None, **settings):
    settings = {"at": "40", "share": 0.4, **settings}
    found = TimeSplit(**settings).part(made() if sequences is None else sequences, part)
    columns = (found.users, found.history_start, found.history_end, found.target)
    assert all(column.dtype == np.int64 for column in columns)
    return [tuple(int(value) for value in row) for row in zip(*columns, strict=True)], found


def test_the_moments():
    # 10 of 14 events are before 40; 4 of them, 40 %, are at 30 or later, and both events at 30 are.
    assert TimeSplit(at="40", share=0.4).moments(made()) == (30, 40)


def test_train_ends_before_validation():
    rows, found = split("train")
    assert rows == [
        (0, 0, 2, -1),
        (1, 4, 6, -1),
        (2, 6, 6, -1),
        (3, 9, 9, -1),
        (4, 11, 11, -1),
        (5, 12, 13, -1),
    ]
    assert train_counts(made(), found, 14).tolist() == [1, 1, 0, 0, 1, 1, *[0] * 6, 1, 0]


@pytest.mark.parametrize(
    ("part", "targets", "rows", "left_out"),
    [
        ("valid", "last", [(0, 0, 2, 2), (2, 6, 8, 8), (5, 12, 13, 13)], 0),
        ("valid", "first", [(0, 0, 2, 2), (5, 12, 13, 13)], 1),
        ("valid", "each", [(0, 0, 2, 2), (2, 6, 7, 7), (2, 6, 8, 8), (5, 12, 13, 13)], 0),
        ("test", "last", [(0, 0, 3, 3), (3, 9, 10, 10)], 1),
        ("test", "first", [(0, 0, 3, 3)], 2),
        ("test", "each", [(0, 0, 3, 3), (3, 9, 10, 10)], 1),
    ],
)
def test_targets(part, targets, rows, left_out):
    found, split_ = split(part, targets=targets)
    assert (found, split_.left_out) == (rows, left_out)
    assert split_.begins == {"valid": 30, "test": 40}[part]


def test_the_description_of_a_part():
    chosen = choose_split("time", {"at": "40", "share": 0.4})
    _, found = split("test")
    facts = chosen.facts(made(), found)
    assert facts == {
        "name": "time",
        "settings": {"share": 0.4, "at": "40", "targets": "last"},
        "targets": 2,
        "users": 2,
        "left_out": 1,
        "begins": 40,
        "new_users": 1,
    }
    assert split_text(facts) == (
        "2 targets of 2 users from 1970-01-01 00:00:40 UTC on, 1 of them without an event before; "
        "1 users are left out: they have no earlier event to recommend from"
    )


@pytest.mark.parametrize("at", ["2014-05-01", "1398902400", "2014-05-01T02:00:00+02:00"])
def test_a_moment_can_be_written_as_a_date(at):
    times = [[1398902399, 1398902400], [1398000000, 1398902401]]
    assert TimeSplit(at=at, share=0.01).moments(made(times))[1] == 1398902400


@pytest.mark.parametrize("targets", ["last", "first", "each"])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_against_plain_loops(targets, share):
    sequences = build_sequences(synthetic(users=60, items=30, mean_length=9)).sequences
    splitter = TimeSplit(share=share, targets=targets)
    events = sorted(sequences.timestamps.tolist())
    test = max(t for t in events if sum(e >= t for e in events) >= share * len(events))
    before = [e for e in events if e < test]
    valid = max(t for t in before if sum(e >= t for e in before) >= share * len(before))
    assert splitter.moments(sequences) == (valid, test)
    for part, low, high in (("valid", valid, test), ("test", test, events[-1] + 1)):
        expected = []
        for user in range(len(sequences)):
            start, end = sequences.offsets[user : user + 2].tolist()
            inside = [p for p in range(start, end) if low <= sequences.timestamps[p] < high]
            chosen = {"last": inside[-1:], "first": inside[:1], "each": inside}[targets]
            expected += [(user, start, p, p) for p in chosen if p > start]
        assert split(part, sequences, at=None, share=share, targets=targets)[0] == expected
    rows, _ = split("train", sequences, at=None, share=share, targets=targets)
    assert [end - start for _, start, end, _ in rows] == [
        int((sequences.timestamps[a:b] < valid).sum())
        for a, b in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    ]


def whole(sequences):
    vocabulary = Vocabulary([f"i{index}" for index in range(1, len(sequences.items) + 1)])
    users = tuple(f"u{user}" for user in range(len(sequences)))
    return SequenceData(sequences, vocabulary, users, "shop", "sha256:0", {})


@pytest.mark.parametrize(
    ("times", "settings", "message"),
    [
        (None, {}, "shop: a split by time needs timestamps.*--time-col.*loo-full"),
        (TIMES, {"at": "2000-01-01"}, "no event is at or after 2000-01-01, where the test part"),
        (TIMES, {"at": "3"}, "no event is before 1970-01-01 00:00:03 UTC"),
        (TIMES, {"at": "40", "share": 0.9}, "nothing is left for training"),
        ([[1, 2], [5]], {"share": 0.3}, "shop: nothing is left for testing under the split 'time'"),
    ],
)
def test_data_that_cannot_be_split(times, settings, message):
    sequences = made() if times is None else made(times)
    if times is None:
        sequences = Sequences(sequences.items, None, sequences.offsets)
    with pytest.raises(DataError, match=message):
        choose_split("time", settings).part(whole(sequences), "test")


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("time", {"share": 1}, ConfigError, "'share' is 1.0; expected more than 0 and less than 1"),
        ("time", {"share": "much"}, ConfigError, "'data.split.share' is 'much'"),
        ("time", {"at": "May"}, ConfigError, "'at' is 'May'; expected unix seconds"),
        ("time", {"targets": "lats"}, ConfigError, "did you mean 'last'"),
        ("time", {"shar": 1}, ConfigError, "did you mean 'data.split.share'"),
        ("leave-one-out", {"share": 0.1}, ConfigError, r"has no settings.*\(share\).*time-full"),
        ("tmie", {}, UnknownNameError, "did you mean 'time'"),
    ],
)
def test_settings_that_cannot_be(name, settings, error, message):
    with pytest.raises(error, match=message):
        choose_split(name, settings)


def test_an_unknown_part():
    with pytest.raises(UsageError, match="did you mean 'test'"):
        split("tests")
