import numpy as np
import polars as pl
import pytest

from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import Interactions
from seqzoo.data.sequences import Sequences
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, DataError

ROWS = [
    ("u2", "b", 20),
    ("u1", "a", 30),
    ("u2", "a", 10),
    ("u1", "c", 10),
    ("u1", "b", 10),  # the same second as c: the order of the rows decides
]


def arrays(items=(1, 2, 3), timestamps=(5, 6, 7), offsets=(0, 1, 3)):
    return {
        "items": np.array(items, np.int32),
        "timestamps": None if timestamps is None else np.array(timestamps, np.int64),
        "offsets": np.array(offsets, np.int64),
    }


def as_ids(data):
    return {
        user: [data.vocabulary.item(int(index)) for index in data.sequences[number]]
        for number, user in enumerate(data.users)
    }


def test_sorted_by_time_then_row(interactions):
    data = build_sequences(interactions(ROWS, labels={"a": "A"}, name="shop"))
    assert data.users == ("u2", "u1")
    assert data.vocabulary.items == ("b", "a", "c")
    assert data.vocabulary.labels == (None, "A", None)
    assert as_ids(data) == {"u2": ["a", "b"], "u1": ["c", "b", "a"]}
    assert data.sequences.timestamps.tolist() == [10, 20, 10, 10, 30]
    assert data.sequences.offsets.tolist() == [0, 2, 5]
    assert (data.sequences.items.dtype, data.name, data.dropped) == (np.int32, "shop", 0)


def test_timestamps_that_float32_or_float64_would_round_keep_their_order(interactions):
    # RecBole's float32 makes the first two equal; the last two are equal even in float64.
    rows = [("u", "b", 978300761), ("u", "a", 978300760), ("u", "d", 2**60 + 1), ("u", "c", 2**60)]
    assert as_ids(build_sequences(interactions(rows))) == {"u": ["a", "b", "c", "d"]}


def test_the_order_of_recbole_rounds_times_to_float32(interactions):
    rows = [("u", "b", 978300761), ("u", "a", 978300760), ("u", "c", 978300000)]
    data = build_sequences(interactions(rows), order="float32-time-row")
    assert as_ids(data) == {"u": ["c", "b", "a"]}
    assert data.sequences.timestamps.tolist() == [978300032, 978300736, 978300736]
    assert data.fingerprint != build_sequences(interactions(rows)).fingerprint
    with pytest.raises(ConfigError, match="did you mean 'time-row'"):
        build_sequences(interactions(rows), order="time-rows")


def test_fractions_are_rounded_with_their_second(interactions):
    # In float32 the fractions 0.1 and 0.2 differ near 0, and do not near 2**30.
    rows = [("u", "b", 0), ("u", "a", 0), ("v", "c", 2**30), ("v", "d", 2**30)]
    frame = interactions(rows).frame.with_columns(fraction=pl.Series([0.2, 0.1, 0.2, 0.1]))
    timed = Interactions.from_frame(frame)
    assert as_ids(build_sequences(timed)) == {"u": ["a", "b"], "v": ["d", "c"]}
    data = build_sequences(timed, order="float32-time-row")
    assert as_ids(data) == {"u": ["a", "b"], "v": ["c", "d"]}


def test_positions_are_never_rounded(interactions):
    rows = [("u", "b", 2**24 + 1), ("u", "a", 2**24)]
    data = build_sequences(interactions(rows, has_times=False), order="float32-time-row")
    assert as_ids(data) == {"u": ["a", "b"]}


def test_positions_are_not_timestamps(interactions):
    assert build_sequences(interactions(ROWS, has_times=False)).sequences.timestamps is None


def test_given_vocabulary_drops_and_counts_the_rest(interactions):
    rows = [*ROWS, ("u3", "x", 1)]
    data = build_sequences(interactions(rows), vocabulary=Vocabulary(["z", "c", "a"]))
    assert as_ids(data) == {"u2": ["a"], "u1": ["c", "a"]}
    assert data.sequences.items.tolist() == [3, 2, 3]
    assert data.sequences.timestamps.tolist() == [10, 10, 30]
    assert data.dropped == 3
    assert data.fingerprint == build_sequences(interactions(rows)).fingerprint


def test_given_vocabulary_without_any_item(interactions):
    with pytest.raises(DataError, match="none of its 3 items is among the 1"):
        build_sequences(interactions(ROWS), vocabulary=Vocabulary(["z"]))


def test_fingerprint_does_not_depend_on_the_order_of_rows(interactions):
    expected = build_sequences(interactions(ROWS)).fingerprint
    assert expected.startswith("sha256:")
    assert len(expected) == 71
    for order in ([1, 0, 3, 4, 2], [3, 4, 2, 1, 0], [2, 3, 4, 0, 1]):
        shuffled = [ROWS[row] for row in order]
        assert build_sequences(interactions(shuffled, name="other")).fingerprint == expected


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:-1],
        [*ROWS[:3], ROWS[4], ROWS[3]],  # a tie the other way round
        [*ROWS[:-1], ("u1", "b", 11)],
        [("u9" if user == "u1" else user, item, time) for user, item, time in ROWS],
        [(user, "z" if item == "c" else item, time) for user, item, time in ROWS],
    ],
)
def test_fingerprint_depends_on_the_content(interactions, rows):
    assert (
        build_sequences(interactions(rows)).fingerprint
        != build_sequences(interactions(ROWS)).fingerprint
    )


def test_fingerprints_of_stored_checkpoints_stay_the_same(interactions):
    timed, ordered = interactions(ROWS), interactions(ROWS, has_times=False)
    assert build_sequences(timed).fingerprint == (
        "sha256:5650ea1f552a99a123c5c80e993820d6f713aee6e8d520aac88d7056e0a63164"
    )
    assert build_sequences(ordered).fingerprint == (
        "sha256:93d6f5c13b64c8ebb80a396b4ede7384bb928e8f052d88d1d62829c78cc53701"
    )


def test_other_timestamps_in_the_same_order_change_only_the_fingerprint_of_times(interactions):
    one = build_sequences(interactions(ROWS))
    later = [(user, item, 2 * time + 5) for user, item, time in ROWS]
    two = build_sequences(interactions(later))
    assert one.fingerprints.keys() == {"sequences", "times"}
    assert one.fingerprints["sequences"] == two.fingerprints["sequences"]
    assert one.fingerprints["times"] != two.fingerprints["times"]
    assert one.fingerprint != two.fingerprint
    positions = build_sequences(interactions(ROWS, has_times=False))
    assert positions.fingerprints["sequences"] == one.fingerprints["sequences"]
    assert positions.fingerprints["times"] not in (*one.fingerprints.values(), one.fingerprint)


def test_another_order_or_another_item_changes_the_fingerprint_of_sequences(interactions):
    one = build_sequences(interactions(ROWS)).fingerprints
    swapped = [*ROWS[:3], ROWS[4], ROWS[3]]  # a tie the other way round
    two = build_sequences(interactions(swapped)).fingerprints
    assert two["sequences"] != one["sequences"]
    assert two["times"] == one["times"]
    renamed = [(user, "z" if item == "c" else item, time) for user, item, time in ROWS]
    three = build_sequences(interactions(renamed)).fingerprints
    assert three["sequences"] != one["sequences"]
    assert three["times"] == one["times"]


def test_fingerprints_do_not_depend_on_the_order_of_rows_or_on_a_vocabulary(interactions):
    expected = build_sequences(interactions(ROWS)).fingerprints
    shuffled = interactions([ROWS[row] for row in (2, 3, 4, 0, 1)])
    assert build_sequences(shuffled).fingerprints == expected
    known = build_sequences(shuffled, vocabulary=Vocabulary(["c", "a"]))
    assert known.fingerprints == expected


def test_fingerprint_distinguishes_timestamps_from_positions(interactions):
    timed, ordered = interactions(ROWS), interactions(ROWS, has_times=False)
    assert build_sequences(timed).fingerprint != build_sequences(ordered).fingerprint


def test_access():
    sequences = Sequences(**arrays())
    assert len(sequences) == 2
    assert [items.tolist() for items in sequences] == [[1], [2, 3]]
    assert sequences[-1].tolist() == [2, 3]
    assert sequences.lengths.tolist() == [1, 2]
    with pytest.raises(IndexError):
        sequences[2]


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("timestamps", [(5, 6, 7), None])
def test_save_and_load(tmp_path, mmap, timestamps):
    Sequences(**arrays()).save(tmp_path)
    sequences = Sequences(**arrays(timestamps=timestamps))
    sequences.save(tmp_path)
    loaded = Sequences.load(tmp_path, mmap=mmap)
    assert isinstance(loaded.items, np.memmap) == mmap
    np.testing.assert_array_equal(loaded.items, sequences.items)
    np.testing.assert_array_equal(loaded.offsets, sequences.offsets)
    assert (loaded.timestamps is None) == (timestamps is None)


def test_load_refuses_what_is_missing_cut_or_pickled(tmp_path):
    with pytest.raises(DataError, match=r"items\.npy does not exist"):
        Sequences.load(tmp_path)
    Sequences(**arrays()).save(tmp_path)
    whole = (tmp_path / "items.npy").read_bytes()
    (tmp_path / "items.npy").write_bytes(whole[:-2])
    with pytest.raises(DataError, match=r"items\.npy cannot be read"):
        Sequences.load(tmp_path)
    np.save(tmp_path / "items.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"items\.npy cannot be read"):
        Sequences.load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"items": np.array([1, 2, 3])}, "'items' is int64.*expected a flat array of int32"),
        ({"items": [1, 2, 3]}, "'items' is list"),
        ({"items": np.array([1, 0, 3], np.int32)}, "hold the index 0"),
        ({"items": np.ones((3, 1), np.int32)}, r"shape \(3, 1\)"),
        ({"offsets": np.array([0, 1, 2])}, "do not span the 3 items"),
        ({"offsets": np.array([1, 3])}, "do not span"),
        ({"offsets": np.array([0, 4, 3])}, "the offsets decrease"),
        ({"offsets": np.array([], np.int64)}, "do not span"),
        ({"timestamps": np.array([1])}, "1 timestamps for 3 items"),
        ({"timestamps": np.array([1.0, 2, 3])}, "'timestamps' is float64"),
    ],
)
def test_arrays_are_checked(changed, message):
    with pytest.raises(DataError, match=message):
        Sequences(**{**arrays(), **changed})
