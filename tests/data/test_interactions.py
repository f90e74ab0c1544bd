import numpy as np
import polars as pl
import pytest

from seqzoo.data.interactions import Interactions, k_core
from seqzoo.errors import DataError


def brute_force_core(rows, minimum):
    while True:
        users = {u for u, *_ in rows if sum(r[0] == u for r in rows) >= minimum}
        items = {i for _, i, _ in rows if sum(r[1] == i for r in rows) >= minimum}
        kept = [r for r in rows if r[0] in users and r[1] in items]
        if len(kept) == len(rows):
            return rows
        rows = kept


@pytest.mark.parametrize("seed", range(5))
def test_k_core_agrees_with_brute_force(interactions, seed):
    random = np.random.default_rng(seed)
    rows = [
        (f"u{int(20 * a * b)}", f"i{int(30 * c * d)}", step)
        for step, (a, b, c, d) in enumerate(random.random((150, 4)))
    ]
    expected = brute_force_core(rows, 3)
    if not expected:
        pytest.skip("this seed has no 3-core")
    assert k_core(interactions(rows), 3).frame.rows() == expected


def test_k_core_cascades(interactions):
    # Dropping item c leaves u3 with one interaction, which then drops u3 too.
    rows = [("u1", "a", 1), ("u1", "b", 2), ("u2", "a", 1), ("u2", "b", 2)]
    extra = [("u3", "a", 1), ("u3", "c", 2)]
    assert k_core(interactions(rows + extra), 2).frame.rows() == rows


@pytest.mark.parametrize("minimum", [1, 0, -3])
def test_k_core_of_one_keeps_all(interactions, minimum):
    data = interactions([("u1", "a", 1), ("u2", "b", 1)])
    assert k_core(data, minimum) is data


def test_k_core_keeps_labels_name_and_kind_of_order(interactions):
    rows = [(u, i, 1) for u in "xy" for i in "ab"] + [("z", "a", 1)]
    data = interactions(rows, labels={"a": "A"}, name="shop", has_times=False)
    core = k_core(data, 2)
    assert (len(core), core.labels, core.name, core.has_times) == (4, {"a": "A"}, "shop", False)


def test_empty_core_says_what_there_was_and_how_to_lower_the_minimum(interactions):
    data = interactions([("u1", "a", 1), ("u2", "b", 1)])
    with pytest.raises(
        DataError,
        match=r"5-core of 2 interactions of 2 users with 2 items.*give a lower --min-count",
    ):
        k_core(data)


def test_summaries_before_and_after_the_filter(interactions):
    full = [(u, i, 60 * 60 * 24 * day) for u in "xy" for day, i in enumerate("aab")]
    data = interactions([*full, ("x", "c", 5), ("z", "a", 9 * 86_400)], name="shop")
    before, after = k_core(data, 2).summaries
    assert before == data.summary
    assert (before.stage, before.rows, before.users, before.items) == ("as read", 8, 3, 3)
    assert before.events_per_user == {"mean": 8 / 3, "min": 1, "median": 3, "p90": 3.8, "max": 4}
    assert (before.repeats, before.first, before.last) == (2 / 8, 0, 9 * 86_400)
    assert (after.stage, after.rows, after.users, after.items) == ("2-core", 6, 2, 2)
    assert (after.repeats, after.last) == (2 / 6, 2 * 86_400)
    assert after.text() == (
        "6 interactions of 2 users with 2 items, 3.0 events per user (median 3, 3 to 3), "
        "33.3% repeats, 1970-01-01 to 1970-01-03"
    )
    assert k_core(data, 1).summaries == (before,)
    same = k_core(interactions(full), 2).summaries
    assert [each.stage for each in same] == ["as read", "2-core"]
    assert same[0].rows == same[1].rows


def test_positions_have_no_time_span(interactions):
    summary = interactions([("u", "a", 1), ("v", "a", 2)], has_times=False).summary
    assert (summary.first, summary.last) == (None, None)
    assert summary.text().endswith("0.0% repeats")
    far = interactions([("u", "a", -(2**62)), ("v", "a", 2**62)]).summary
    assert far.cells()[-2:] == [str(-(2**62)), str(2**62)]


def test_a_filter_that_drops_most_items_is_warned_of(interactions, caplog):
    full = [(u, i, 1) for u in "xy" for i in "ab"]
    rare = [("x", item, 1) for item in "cdefg"]
    k_core(interactions([*full, *rare[:2]]), 2)
    assert caplog.records == []
    k_core(interactions([*full, *rare], name="shop"), 2)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "9 interactions of 2 users with 7 items; after the 2-core filter: 4 inter" in caplog.text
    assert caplog.text.rstrip().endswith("give a lower --min-count (data.min_count in a recipe)")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"user": ["a"], "item": ["b"]}), "expected user, item, order"),
        (pl.DataFrame({"user": [1], "item": ["b"], "order": [1]}), "'user' is Int64; expected Str"),
        (pl.DataFrame({"user": ["a"], "item": ["b"], "order": [1.0]}), "'order' is Float64"),
        (pl.DataFrame({"user": ["a", None], "item": ["b", "c"], "order": [1, 2]}), "in row 1"),
        (
            pl.DataFrame({"user": ["a"], "item": ["b"], "order": [1], "fraction": [1.0]}),
            "the fraction in row 0 is 1.0; expected at least 0 and less than 1",
        ),
        (
            pl.DataFrame(schema={"user": pl.String, "item": pl.String, "order": pl.Int64}),
            "there are no interactions",
        ),
    ],
)
def test_from_frame_refuses(frame, message):
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(frame)


def test_counts(interactions):
    data = interactions([("u", "a", 1), ("u", "a", 2), ("v", "b", 3)])
    assert (len(data), data.num_users, data.num_items) == (3, 2, 2)
