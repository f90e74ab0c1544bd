"""Tables in memory: every kind gives the same interactions, mistakes an error of one line."""

from collections import namedtuple
from datetime import datetime, timezone

import polars as pl
import pytest

from seqzoo.data.build import build_sequences
from seqzoo.data.readers import read_interactions
from seqzoo.errors import DataError, SeqzooError, UsageError

ROWS = [("007", "x", 30), ("007", "y", 10), ("8", "x", 20)]
COLUMNS = {"user": ["007", "007", "8"], "item": ["x", "y", "x"], "timestamp": [30, 10, 20]}
Event = namedtuple("Event", "user item timestamp")


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame(COLUMNS),
        pl.LazyFrame(COLUMNS),
        COLUMNS,
        ROWS,
        tuple(ROWS),
        [list(row) for row in ROWS],
        [Event(*row) for row in ROWS],
        [dict(zip(COLUMNS, row, strict=True)) for row in ROWS],
        pl.DataFrame(COLUMNS).with_columns(pl.col("user", "item").cast(pl.Categorical)),
        [
            {"item": item, "user": user, "time": datetime.fromtimestamp(at, timezone.utc)}
            for user, item, at in ROWS
        ],
    ],
)
def test_every_kind_of_table(table):
    data = read_interactions(table)
    assert data.frame.rows() == ROWS
    assert (data.name, data.has_times) == ("a table in memory", True)


def test_ids_of_any_type_become_text():
    rows = [(1, "a", 1.5), (2.0, 7, 2)]
    assert read_interactions(rows).frame.select("user", "item").rows() == [("1", "a"), ("2", "7")]


def test_pairs_are_in_order():
    data = read_interactions([("u", "b"), ("u", "a"), ("v", "a")])
    assert not data.has_times
    assert build_sequences(data).sequences.items.tolist() == [1, 2, 2]


def test_options_are_those_of_files():
    table = {"who": ["1", "2"], "what": ["a", "b"], "when": [1, 2], "called": ["A", None]}
    data = read_interactions(
        table, user_col="who", item_col="what", time_col="when", label_col="called", name="shop"
    )
    assert (data.name, data.labels) == ("shop", {"a": "A"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "the table in memory is empty"),
        (pl.DataFrame(), "the table in memory is empty"),
        (["1", "2"], "row 1 of the table in memory is '1'; expected all rows to be such as"),
        ([("1", "a", 5.0, 10)], "row 1 .* is ('1', 'a', 5.0, 10); expected all rows"),
        ([("1", "a", 10), ("2", "b")], "row 2 of the table in memory is ('2', 'b'); expected"),
        ([("1", "a", 10), {"user": "2"}], "row 2 of the table in memory is {'user': '2'}"),
        ([("1", "a", 10), ("2", None, 5)], "the table in memory, row 2: the item is missing"),
        ([("1", "a", "soon"), ("2", "b", "later")], "row 1: the timestamp 'soon' is not a times"),
        ({"user": [1, 2], "item": [3]}, "the table in memory cannot be read"),
        ({"user": [1, 2], "item": [3, 4]}, "no column is recognised as the time column"),
        ({"user": [object(), 2], "item": [3, 4], "time": [1, 2]}, "'user' holds Object"),
        ({"wer": [1, 2], "item": [3, 4], "time": [1, 2]}, "name it: user_col=COLUMN"),
        ({"user": [1, 2], "uid": [1, 2], "item": [3, 4]}, "choose one: user_col=user"),
        (b"1,a,10", "the data are bytes; expected the name of a data set, a path, a polars"),
        (None, "the data are NoneType; expected the name of a data set"),
        (lambda: ROWS, "the data are function"),
    ],
)
def test_wrong_tables(table, message):
    with pytest.raises(SeqzooError) as caught:
        read_interactions(table)
    assert "\n" not in str(caught.value)
    start, _, end = message.partition(" .* ")
    assert start in str(caught.value)
    assert end in str(caught.value)


def test_a_named_column_that_is_not_there():
    with pytest.raises(
        DataError, match=r"has no column 'wer' for the user \(user_col\); its colum"
    ):
        read_interactions(COLUMNS, user_col="wer")
    with pytest.raises(UsageError, match="'item' is chosen for the user and the item"):
        read_interactions(COLUMNS, user_col="item")


def test_arrow():
    arrow = pytest.importorskip("pyarrow")
    assert read_interactions(arrow.table(COLUMNS)).frame.rows() == ROWS


class TestPandas:
    @pytest.fixture
    def pandas(self):
        return pytest.importorskip("pandas")

    def test_frame(self, pandas):
        frame = pandas.DataFrame(COLUMNS, index=[5, 5, 7])
        assert read_interactions(frame).frame.rows() == ROWS
        part = frame[frame["timestamp"] > 10]
        assert read_interactions(part).frame.rows() == [ROWS[0], ROWS[2]]

    @pytest.mark.parametrize("kind", ["object", "category", "string"])
    def test_kinds_of_text(self, pandas, kind):
        frame = pandas.DataFrame(COLUMNS).astype({"user": kind, "item": kind})
        assert read_interactions(frame).frame.rows() == ROWS

    @pytest.mark.parametrize("kind", ["int32", "uint64", "Int64", "float64", "category"])
    def test_kinds_of_numbers(self, pandas, kind):
        frame = pandas.DataFrame({"user": [7, 8], "item": [1, 2], "time": [3, 4]})
        frame = frame.astype({"user": kind, "item": kind})
        assert read_interactions(frame).frame.rows() == [("7", "1", 3), ("8", "2", 4)]

    @pytest.mark.parametrize("unit", ["s", "ms", "ns"])
    @pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
    def test_dates(self, pandas, unit, zone):
        times = pandas.to_datetime(pandas.Series(COLUMNS["timestamp"]), unit="s", utc=True)
        times = times.dt.tz_convert(zone).astype(
            f"datetime64[{unit}]" if zone is None else f"datetime64[{unit}, {zone}]"
        )
        frame = pandas.DataFrame({**COLUMNS, "timestamp": times})
        assert read_interactions(frame).frame.rows() == ROWS

    def test_missing_values(self, pandas):
        for missing in (None, float("nan"), pandas.NA):
            frame = pandas.DataFrame({**COLUMNS, "item": ["x", missing, "x"]})
            with pytest.raises(DataError, match="in memory, row 2: the item is missing"):
                read_interactions(frame)
        frame = pandas.DataFrame({"user": [1, None], "item": [1, 2], "time": [1, 2]})
        with pytest.raises(DataError, match="in memory, row 2: the user is missing"):
            read_interactions(frame)

    def test_columns_that_are_not_needed_may_hold_anything(self, pandas):
        frame = pandas.DataFrame({**COLUMNS, "more": [{}, "a", 3], "lists": [[1], [2], []]})
        assert read_interactions(frame).frame.rows() == ROWS

    def test_a_name_twice(self, pandas):
        frame = pandas.DataFrame([["1", "2", "3"]], columns=["user", "user", "item"])
        with pytest.raises(DataError, match="columns of the same name"):
            read_interactions(frame)
