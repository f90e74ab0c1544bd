"""Files that are read in chunks give what one chunk gives, and errors name the same lines."""

import zipfile

import numpy as np
import polars as pl
import pytest

from seqzoo.data.readers import read_interactions, tables, text
from seqzoo.errors import DataError


@pytest.fixture
def both(monkeypatch):
    """A function that reads a file whole, then in small chunks, and compares."""

    def read(path, **options):
        whole = read_interactions(path, **options)
        with monkeypatch.context() as small:
            small.setattr(tables, "CHUNK", 7)
            small.setattr("seqzoo.data.readers.formats.CHUNK", 7)
            small.setattr(text, "_PIECE", 64)
            chunked = read_interactions(path, **options)
        assert chunked.frame.equals(whole.frame)
        assert (chunked.labels, chunked.has_times) == (whole.labels, whole.has_times)
        assert chunked.user_ids.to_list() == whole.user_ids.to_list()
        assert chunked.item_ids.to_list() == whole.item_ids.to_list()
        return chunked

    return read


def rows(count=200):
    random = np.random.default_rng(0)
    return [
        (f"u{random.integers(20)}", f"i{random.integers(30)}", int(random.integers(1000)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv(both, tmp_path, ending):
    path = tmp_path / "a.csv"
    lines = [f"{user},{item},{time}" for user, item, time in rows()]
    path.write_bytes(ending.join(["user,item,time", *lines, ""]).encode())
    assert both(path).frame.rows() == rows()
    path.write_bytes(("\ufeff" + ending.join(["", "user,item,time", *lines])).encode())
    both(path)
    both(path, time_col="")


def test_quotes_and_line_feeds_in_fields(both, tmp_path):
    path = tmp_path / "a.csv"
    titles = ['"one"', '"a\nlong\ntitle"', '"says ""no""\n"', "plain", '"a,b"', '""']
    lines = [f"{u},{i},{t},{titles[int(i[1:]) % 6]}" for u, i, t in rows()]
    path.write_text("\n".join(["user,item,time,title", *lines, ""]))
    data = both(path)
    assert data.labels["i1"] == "a\nlong\ntitle"
    assert data.labels["i2"] == 'says "no"\n'


def test_blank_rows(both, tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"{user},{item},{time}" for user, item, time in rows()]
    for at in (150, 90, 89, 40, 3, 0):
        lines[at:at] = [""] * (at % 4 + 1)
    path.write_text("\n".join(["user,item,time", *lines, "", ""]))
    assert len(both(path)) == 200


@pytest.mark.parametrize("blank", [0, 5])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u,i", "2 fields, expected 3"),
        ("u,i,5,6", "4 fields, expected 3"),
        ("u,i,soon", "the timestamp 'soon' is not a timestamp"),
        (",i,5", "the user is missing"),
    ],
)
def test_errors_name_the_line(both, tmp_path, monkeypatch, row, message, blank):
    path = tmp_path / "a.csv"
    lines = [f"{user},{item},{time}" for user, item, time in rows()]
    lines[20:20] = [""] * blank
    for at in (2, 57, 58, 59, 60, 199 + blank):
        damaged = [*lines[:at], row, *lines[at:]]
        path.write_text("\n".join(["user,item,timestamp", *damaged, ""]))
        monkeypatch.setattr(text, "_PIECE", 64)
        with pytest.raises(DataError, match=rf"a\.csv, line {at + 2}: {message}"):
            read_interactions(path)


def test_formats_without_header_and_archives(both, tmp_path):
    lines = [f"{u[1:]}::{i[1:]}::5::{t}" for u, i, t in rows()]
    (tmp_path / "ratings.dat").write_text("\n".join([*lines, ""]))
    expected = both(tmp_path / "ratings.dat").frame.rows()
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.write(tmp_path / "ratings.dat", "ml/ratings.dat")
    assert both(tmp_path / "ml.zip").frame.rows() == expected
    (tmp_path / "u.data").write_text("\n".join(line.replace("::", "\t") for line in lines))
    assert both(tmp_path / "u.data").frame.rows() == expected


@pytest.mark.parametrize("kind", [pl.String, pl.Int32, pl.UInt64, pl.Float64, pl.Categorical])
def test_parquet_with_every_kind_of_id(both, tmp_path, kind):
    users, items, times = zip(*rows(), strict=True)
    ids = [pl.Series([value[1:] for value in values]) for values in (users, items)]
    ids = [each.cast(pl.Int64).cast(kind) if kind.is_numeric() else each.cast(kind) for each in ids]
    frame = pl.DataFrame({"user": ids[0], "item": ids[1], "time": times, "more": users})
    frame.write_parquet(tmp_path / "a.parquet")
    data = both(tmp_path / "a.parquet")
    assert data.frame.rows() == [(u[1:], i[1:], t) for u, i, t in rows()]


def test_fractions_of_a_second_in_one_chunk_only(both, tmp_path):
    users, items, times = zip(*rows(40), strict=True)
    seconds = [float(time) for time in times]
    seconds[30] += 0.25
    frame = pl.DataFrame({"user": users, "item": items, "time": seconds})
    frame.write_parquet(tmp_path / "a.parquet")
    found = both(tmp_path / "a.parquet").frame["fraction"]
    assert (found[30], found.sum()) == (0.25, 0.25)


def test_the_first_value_of_the_file_decides_between_numbers_and_dates(tmp_path, monkeypatch):
    lines = [f"u{row % 5},i,2001-01-{row % 28 + 1:02}" for row in range(40)]
    path = tmp_path / "a.csv"
    monkeypatch.setattr(text, "_PIECE", 64)
    path.write_text("\n".join(["user,item,time", *lines, "u1,i,978300760", ""]))
    with pytest.raises(DataError, match="line 42: the time '978300760' is not a timestamp"):
        read_interactions(path)


def test_rows_of_a_parquet_file_are_numbered_through(tmp_path, monkeypatch):
    monkeypatch.setattr("seqzoo.data.readers.formats.CHUNK", 7)
    users = [f"u{row % 5}" if row != 23 else None for row in range(40)]
    frame = pl.DataFrame({"user": users, "item": users, "time": range(40)})
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 24: the user is missing"):
        read_interactions(tmp_path / "a.parquet")
