import random

import polars as pl
import pytest

from seqzoo.data.build import build_sequences
from seqzoo.data.readers import read_interactions
from seqzoo.errors import DataError


@pytest.fixture
def times(tmp_path):
    def read(*texts):
        lines = [f"u{row},i,{text}" for row, text in enumerate(("0" if not texts else "", *texts))]
        path = tmp_path / "a.csv"
        path.write_text("\n".join(["user,item,time", *lines[1:], ""]))
        return read_interactions(path).frame["order"].to_list()

    return read


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("978300760", 978300760),
        ("9007199254740993", 2**53 + 1),  # exact, where a float64 would round it
        ("-5", -5),
        (" 12 ", 12),
        ("978300760.0", 978300760),
        ("9.7e8", 970_000_000),
        ("12.9", 12),
        ("-0.5", -1),
    ],
)
def test_numbers(times, text, seconds):
    assert times("1", text) == [1, seconds]
    assert times(text, "1") == [seconds, 1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2001-01-01", 978307200),
        ("2001-01-01T00:12:40", 978307960),
        ("2001-01-01 00:12:40", 978307960),
        ("2001-01-01T00:12:40Z", 978307960),
        ("2001-01-01T01:12:40+01:00", 978307960),
        ("2001-01-01T00:12:40.999", 978307960),
        ("1969-12-31T23:59:59.500Z", -1),
    ],
)
def test_dates(times, text, seconds):
    assert times(text, "1970-01-01", text) == [seconds, 0, seconds]


@pytest.mark.parametrize(
    "text",
    ["yesterday", "nan", "inf", "1e400", "99999999999999999999", "0x10", "2001-02-30", "1,5"],
)
def test_anything_else_names_the_line_and_the_value(times, text):
    quoted = f'"{text}"'
    with pytest.raises(DataError) as caught:
        times("5", "6", quoted, "7")
    assert f"a.csv, line 4: the time '{text}' is not a timestamp; expected unix sec" in str(
        caught.value
    )


def test_dates_and_numbers_do_not_mix(times):
    with pytest.raises(DataError, match="line 3: the time '2014' is not a timestamp"):
        times("2001-01-01", "2014")
    with pytest.raises(DataError, match="line 3: the time '2001-01-01' is not a timestamp"):
        times("2014", "2001-01-01")


@pytest.mark.parametrize(
    "ordered",
    [
        ["5.1", "5.5", "5.9", "6"],
        ["-1.5", "-1", "-0.75", "-0.25", "0.5"],
        ["9.7e8", "970000000.000001", "970000000.5"],
        # As float64 the first two are equal.
        ["1700000000.12345678", "1700000000.12345679", "1700000001"],
        ["2001-01-01T00:12:40.005Z", "2001-01-01T00:12:40.050Z", "2001-01-01T00:12:40.5"],
        ["2001-01-01T00:12:40", "2001-01-01T00:12:40.0000001", "2001-01-01T00:12:40.0000002"],
        ["1969-12-31T23:59:59.2Z", "1969-12-31T23:59:59.7Z", "1970-01-01"],
        ["2001-01-01T01:12:40.25+01:00", "2001-01-01 00:12:40,750"],
    ],
)
def test_fractions_of_a_second_order_the_events(tmp_path, ordered):
    """In every order of the rows; the stored timestamps are whole seconds."""
    rows = [f'u{user},{item},"{text}"' for user in "12" for item, text in enumerate(ordered)]
    random.Random(0).shuffle(rows)
    for lines in (rows, rows[::-1]):
        (tmp_path / "a.csv").write_text("\n".join(["user,item,time", *lines, ""]))
        data = build_sequences(read_interactions(tmp_path / "a.csv"))
        for user in (0, 1):
            items = [int(data.vocabulary.item(int(index))) for index in data.sequences[user]]
            assert items == list(range(len(ordered)))
    assert data.sequences.timestamps.dtype == "int64"


@pytest.mark.parametrize("kind", [pl.Float64, pl.Datetime("ms"), pl.Datetime("ns", "Asia/Tokyo")])
def test_fractions_in_parquet(tmp_path, kind):
    unit = {"ms": 1e3, "ns": 1e9}[kind.time_unit] if isinstance(kind, pl.Datetime) else 1
    times = [value * unit for value in (5.75, 5.25, -0.25, -0.75)]
    frame = pl.DataFrame({"user": ["u", "u", "v", "v"], "item": list("abcd"), "time": times})
    column = pl.col("time")
    frame = frame.with_columns(column.cast(kind) if unit == 1 else column.cast(pl.Int64).cast(kind))
    frame.write_parquet(tmp_path / "a.parquet")
    data = build_sequences(read_interactions(tmp_path / "a.parquet"))
    assert [data.vocabulary.item(int(index)) for index in data.sequences.items] == list("badc")
    assert data.sequences.timestamps.tolist() == [5, 5, -1, -1]


def test_whole_seconds_need_no_fractions(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,time\n1,a,5.0\n2,b,6\n")
    assert read_interactions(tmp_path / "a.csv").frame.columns == ["user", "item", "order"]
