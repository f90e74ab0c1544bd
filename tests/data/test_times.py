import pytest

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
    assert f"a.csv, line 4: the time '{text}' is not a time; expected unix sec" in str(caught.value)


def test_dates_and_numbers_do_not_mix(times):
    with pytest.raises(DataError, match="line 3: the time '2014' is not a time"):
        times("2001-01-01", "2014")
    with pytest.raises(DataError, match="line 3: the time '2001-01-01' is not a time"):
        times("2014", "2001-01-01")
