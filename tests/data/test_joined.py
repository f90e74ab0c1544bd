"""Older and newer events of the same users as one set of histories."""

import numpy as np
import polars as pl
import pytest

from seqzoo.data.batches import training_windows
from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import Interactions
from seqzoo.data.joined import joined
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.splits import train_counts
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError
from seqzoo.training.recipe import TrainConfig
from seqzoo.training.replay import split_of_epoch, trained_part


def data(rows, has_times=True):
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "order": pl.Int64}, orient="row"
    )
    return build_sequences(Interactions.from_frame(frame, has_times=has_times))


OLD = [("ann", "a", 1), ("ann", "b", 2), ("bob", "a", 1), ("bob", "rare", 2), ("bob", "c", 3)]
NEW = [("bob", "d", 10), ("cy", "a", 11), ("cy", "d", 12), ("ann", "c", 13)]


@pytest.fixture
def both():
    return joined(data(OLD), data(NEW), Vocabulary(["a", "b", "c"]))


def test_older_events_stand_before_newer_ones(both):
    found = {
        user: [both.vocabulary.item(int(item)) for item in both.sequences[index]]
        for index, user in enumerate(both.users)
    }
    # `rare` is known neither to the model nor to the newer data.
    assert found == {"bob": ["a", "c", "d"], "cy": ["a", "d"], "ann": ["a", "b", "c"]}
    starts = dict(zip(both.users, both.new_from - both.sequences.offsets[:-1], strict=True))
    assert starts == {"bob": 2, "cy": 0, "ann": 2}


def test_only_newer_events_are_targets(both):
    split = trained_part(both, None)
    windows = training_windows(split, 10, np.random.default_rng(0), shift=False)
    targets = [
        int(both.sequences.items[start + place + 1])
        for start, length, context in zip(
            windows.starts, windows.lengths, windows.contexts, strict=True
        )
        for place in range(context, length)
    ]
    names = sorted(both.vocabulary.item(target) for target in targets)
    assert names == ["c", "d", "d"]  # of `cy` the first event predicts the second
    counts = train_counts(both.sequences, split, len(both.vocabulary))
    assert dict(zip(both.vocabulary.items, counts.tolist(), strict=True)) == {
        "d": 2,
        "a": 1,
        "c": 1,
        "b": 0,
    }


def test_features_of_events_are_joined_under_common_codes():
    def typed(rows):
        frame = pl.DataFrame(rows, schema=["user", "item", "timestamp", "kind"], orient="row")
        settings = DataConfig(source="x", min_count=1, features=["kind"])
        return prepare(settings, frame)

    old = typed([("ann", "a", 1, "view"), ("bob", "b", 2, "buy"), ("ann", "b", 2, "buy")])
    new = typed([("ann", "c", 3, "return"), ("cy", "a", 4, "view"), ("ann", "a", 4, "view")])
    both = joined(old, new, Vocabulary(["a", "b"]))
    values = both.vocabulary.features["kind"]
    ann = both.users.index("ann")
    rows = slice(*both.sequences.offsets[[ann, ann + 1]])
    codes = both.sequences.features["kind"][rows].tolist()
    assert [values[code - 1] for code in codes] == ["view", "buy", "return", "view"]


def test_replay_draws_other_events_in_every_epoch():
    old = [(f"u{user}", f"i{item}", item) for user in range(200) for item in range(5)]
    new = [(f"u{user}", "i9", 50 + user % 2) for user in range(0, 200, 2)]
    both = joined(data(old), data(new), Vocabulary(["i0"]))
    split = trained_part(both, None)
    config = TrainConfig(replay=2.0)
    assert split_of_epoch(split, TrainConfig(), 0) is split

    def replayed(epoch):
        whole = split_of_epoch(split, config, epoch)
        rows = slice(len(split), None)
        return whole.users[rows], int((whole.history_end[rows] - whole.history_start[rows]).sum())

    users, events = replayed(0)
    assert abs(events - 2 * len(new)) <= 5
    assert np.array_equal(users, replayed(0)[0])
    assert not np.array_equal(users, replayed(1)[0])
    whole = split_of_epoch(split, config, 0)
    last = both.sequences.items[whole.history_end[len(split) :] - 1]
    assert both.vocabulary.index("i9") not in set(last.tolist())


def test_data_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="has no timestamps and the other data have"):
        joined(data(OLD, has_times=False), data(NEW), Vocabulary(["a"]))
    with pytest.raises(DataError, match="holds 4 of the 4 events"):
        joined(data(OLD + NEW), data(NEW), Vocabulary(["a"]))
