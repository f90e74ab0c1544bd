"""``describe_data``: stages, smaller filters and warnings."""

import pytest

from seqzoo.data.description import describe_data
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.prepared import write_prepared


def sparse_rows():
    """A full block of 3 users and 3 items, and 20 items that nobody interacts with twice."""
    block = [(f"u{user}", f"i{item}", user + item) for user in range(3) for item in range(3)]
    return [*block, *((f"u{row % 3}", f"rare{row}", 100 + row) for row in range(20))]


def test_stages_of_data_that_keep_their_items(tmp_path):
    found = describe_data(DataConfig(min_count=2), sparse_rows()[:9])
    assert [(each.stage, each.rows) for each in found.stages] == [("as read", 9), ("2-core", 9)]
    assert (found.smaller, found.warning) == ((), None)
    users, items = found.counts["2-core"]
    assert (users.tolist(), items.tolist()) == ([3, 3, 3], [3, 3, 3])
    assert describe_data(DataConfig(min_count=1), sparse_rows()).stages[-1].stage == "as read"


def test_a_filter_that_drops_most_items_shows_what_smaller_ones_keep():
    found = describe_data(DataConfig(min_count=3), sparse_rows())
    assert [(each.stage, each.items) for each in found.stages] == [("as read", 23), ("3-core", 3)]
    assert [(each.stage, each.items) for each in found.smaller] == [("2-core", 3)]
    assert "3 users with 23 items; after the 3-core filter: 9 interactions" in found.warning


def test_a_filter_that_keeps_nothing_is_described():
    found = describe_data(DataConfig(min_count=6), sparse_rows())
    assert [(each.stage, each.rows) for each in found.stages] == [("as read", 29), ("6-core", 0)]
    assert [each.stage for each in found.smaller] == ["2-core", "3-core"]
    assert "after the 6-core filter: nothing; to keep more items, give a lower" in found.warning
    assert found.to_json()["stages"][1] == {
        "stage": "6-core", "rows": 0, "users": 0, "items": 0, "events_per_user": {},
        "repeats": 0.0, "first": None, "last": None,
    }  # fmt: skip


@pytest.mark.parametrize("minimum", [1, 2])
def test_prepared_data(tmp_path, minimum):
    config = DataConfig(source="synthetic", min_count=minimum)
    write_prepared(tmp_path / "out", prepare(config), config)
    fresh = describe_data(config)
    found = describe_data(DataConfig(source=str(tmp_path / "out"), min_count=minimum))
    assert (found.name, found.stages) == (fresh.name, fresh.stages)
    (stage,) = found.counts
    assert sorted(found.counts[stage][0]) == sorted(fresh.counts[stage][0])
    assert sorted(found.counts[stage][1]) == sorted(fresh.counts[stage][1])
