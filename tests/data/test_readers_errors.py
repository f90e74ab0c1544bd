"""Mistakes of users: every message is one line with the location and the remedy."""

import subprocess
import sys
import tracemalloc
import zipfile

import polars as pl
import pytest

from seqzoo.data.readers import read_interactions
from seqzoo.errors import DataError, SeqzooError, UsageError

HEAD = "user_id,item_id,timestamp\n"
GOOD = HEAD + "1,a,10\n2,b,20\n"


@pytest.fixture
def refused(tmp_path):
    """A function that writes a file, reads it and returns the message of the error."""

    def read(content, name="a.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(SeqzooError) as caught:
            read_interactions(path, **options)
        message = str(caught.value)
        assert "\n" not in message
        assert name in message
        return message

    return read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected one interaction per line"),
        ("\n\n", "is empty"),
        (HEAD, "has a header but no rows"),
        (HEAD + "\n\n", "has a header but no rows"),
        (GOOD + "3,c\n4,d,5\n", "line 4: 2 fields, expected 3; the row is too short"),
        (GOOD + "\n\n3,c", "line 6: 2 fields, expected 3; the row is too short"),
        (GOOD + "3,c,5,6\n", "line 4: 4 fields, expected 3; the row is too long"),
        (GOOD + ",c,5\n", "line 4: the user is missing (column 'user_id')"),
        (GOOD + '3,"",5\n', "line 4: the item is missing (column 'item_id')"),
        (GOOD + "3,c,\n", "line 4: the column 'timestamp' has no value; expected unix seconds"),
        (GOOD + "3,c,soon\n", "line 4: the timestamp 'soon' is not a time"),
        ('user,item,time\n1,"a\nb",5\n2,c,soon\n', "line 4: the time 'soon' is not a time"),
        ("\n" + GOOD + "\n3,c,soon\n", "line 6: the timestamp 'soon'"),
        (GOOD + '3,"c,5\n', "line 4: 2 fields, expected 3"),
        (GOOD.encode() + b"3,caf\xe9,5\n", "line 4: the text is not UTF-8"),
        (
            b"\xff\xfeu\0s\0",
            "(convert it: iconv -f utf-16 -t utf-8)",
        ),
        ("  \n" + GOOD + "3,c\n", "line 5: 2 fields, expected 3"),
        (GOOD.replace("\n", "\r"), "lines end with carriage returns only"),
        ("user,user,time\n1,2,3\n", "line 1: several columns have the name 'user'"),
        (HEAD + "1,a,10\n1,b,20\n", "has only one user, '1', in its column 'user_id'"),
        ("1,a,10\n2,b,20\n", "(columns: 1, a, 10)"),
        ("1,11,10\n2,12,20\n", "the first line (1, 11, 10) holds numbers; expected names"),
    ],
)
def test_damaged_files(refused, content, message):
    assert message in refused(content)


def test_columns_without_a_usual_name(refused):
    message = refused("who,item,time\n1,a,3\n2,b,4\n")
    assert "no column is recognised as the user column (columns: who, item, time)" in message
    assert message.endswith("name it: --user-col COLUMN")
    assert "--item-col" in refused("user,what,time\n1,a,3\n2,b,4\n")
    message = refused("user,item,when\n1,a,3\n2,b,4\n")
    assert '--time-col COLUMN, or keep the order of the rows: --time-col ""' in message


def test_two_columns_with_usual_names(refused):
    message = refused("user,user_id,item,time\n1,1,a,3\n2,2,b,4\n")
    assert "the columns user and user_id could both hold the user" in message
    assert "choose one: --user-col user" in message


def test_a_missing_column(refused):
    message = refused(GOOD, user_col="user-id")
    assert "has no column 'user-id' for the user (--user-col)" in message
    assert "its columns are user_id, item_id, timestamp; did you mean 'user_id'?" in message
    assert "(--label-col)" in refused(GOOD, label_col="titel")
    assert "(--time-col)" in refused(GOOD, time_col="time")


def test_one_column_for_two_roles(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    with pytest.raises(UsageError, match="'item_id' is chosen for the user and the item"):
        read_interactions(tmp_path / "a.csv", user_col="item_id")


def test_damaged_ratings_dat(refused):
    good = "1::10::5::978300760\n2::10::5::978300761\n"
    assert "line 3: 2 fields, expected 4" in refused(good + "3::1\n", "ratings.dat")
    assert "line 3: 5 fields, expected 4" in refused(good + "3::1::2::4::5\n", "ratings.dat")
    assert "line 3: 3 fields, expected 4" in refused(good + "3::1:2::4\n", "ratings.dat")
    assert "is not of the form user::item::rating" in refused("1,2,3,4\n", "ratings.dat")


def test_damaged_recbole_files(refused, tmp_path):
    head = "user_id:token\titem_id:token\ttimestamp:float\n"
    assert "line 3: 2 fields" in refused(head + "1\ta\t1\n2\tb\n", "a.inter")
    (tmp_path / "b.item").write_text("thing:token\ttitle:token_seq\na\tA\n")
    (tmp_path / "b.inter").write_text(head + "1\ta\t1\n2\tb\t2\n")
    with pytest.raises(DataError, match=r"b\.item: no column is recognised as the item column"):
        read_interactions(tmp_path / "b.inter")


def test_missing_path_shows_the_nearest(tmp_path):
    (tmp_path / "interactions.csv").write_text(GOOD)
    with pytest.raises(
        DataError, match=r"no file or folder .*; did you mean '.*interactions\.csv'"
    ):
        read_interactions(tmp_path / "interaction.csv")
    with pytest.raises(DataError, match=r"no file or folder .*nowhere does not exist either"):
        read_interactions(tmp_path / "nowhere" / "a" / "b.csv")


def test_a_broken_link_is_named(tmp_path):
    (tmp_path / "data.csv").symlink_to(tmp_path / "moved.csv")
    with pytest.raises(
        DataError, match=r"data\.csv; it is a link to .*moved\.csv, which does not exist"
    ):
        read_interactions(tmp_path / "data.csv")


def test_folders_with_no_file_or_several(tmp_path):
    with pytest.raises(DataError, match="holds no interactions; expected a RecBole folder"):
        read_interactions(tmp_path)
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(GOOD)
    with pytest.raises(
        DataError, match=r"several files .*\(a\.csv, b\.csv\); name the file itself"
    ):
        read_interactions(tmp_path)


def test_unknown_format(refused):
    assert "the format of the file is unknown" in refused("{}", "a.json")


def test_damaged_archives(refused, tmp_path):
    assert "is damaged or not a zip archive" in refused("not a zip", "a.zip")
    path = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", "1::10::5::978300760\n" * 100)
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 0xFF
    assert "cannot be read" in refused(bytes(damaged), "ml-1m.zip")


def test_damaged_parquet(refused, tmp_path):
    assert "cannot be read as Parquet" in refused("user,item", "a.parquet")

    def parquet(**columns):
        pl.DataFrame(columns).write_parquet(tmp_path / "b.parquet")
        return refused((tmp_path / "b.parquet").read_bytes(), "a.parquet")

    assert "is empty" in parquet(user=[], item=[], time=[])
    good = {"user": [1, 2], "item": [1, 2], "time": [1, 2]}
    assert "row 2: the user is missing" in parquet(**{**good, "user": [1, None]})
    assert "row 2: the item is missing" in parquet(**{**good, "item": [1.0, float("nan")]})
    assert "row 2: the column 'time' has no value" in parquet(**{**good, "time": [1, None]})
    assert "row 1: the time 'nan' is not a time" in parquet(**{**good, "time": [float("nan"), 1]})
    assert "'time' holds Boolean" in parquet(**{**good, "time": [True, False]})
    assert "'item' holds List(Int64)" in parquet(**{**good, "item": [[1], [2]]})
    assert "'item' holds Binary" in parquet(**{**good, "item": [b"a", b"\xff"]})


@pytest.mark.parametrize("titles", [[["A"], ["B"]], [b"A", b"\xff"], [{"a": 1}, {"a": 2}]])
def test_a_title_column_without_text_is_left_out_or_refused(tmp_path, titles, caplog):
    path = tmp_path / "a.parquet"
    columns = {"user": [1, 2], "item": [1, 2], "time": [1, 2], "title": titles}
    pl.DataFrame(columns).write_parquet(path)
    assert read_interactions(path).labels == {}
    assert "the column 'title' holds" in caplog.text
    with pytest.raises(DataError, match=r"the column 'title' holds .*expected titles as text"):
        read_interactions(path, label_col="title")


CHANGE_EVERY_BYTE = """
import sys
from pathlib import Path
from seqzoo.data.readers import read_interactions
from seqzoo.errors import DataError

path = Path(sys.argv[1])
whole = path.read_bytes()
messages = []
for position in range(len(whole)):
    damaged = bytearray(whole)
    damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    try:
        read_interactions(path)
    except DataError as error:
        messages.append(str(error))
print(len(messages), sum("\\n" in message for message in messages))
"""


def test_every_changed_byte_of_a_parquet_file_is_an_error_of_one_line(tmp_path):
    """In a process of its own: Rust writes to its stderr, and may abort it."""
    path = tmp_path / "a.parquet"
    rows = range(300)
    columns = {"user": [f"{row % 50}" for row in rows], "item": [f"{row % 37}" for row in rows]}
    pl.DataFrame({**columns, "time": rows}).write_parquet(path)
    size = path.stat().st_size
    command = [sys.executable, "-c", CHANGE_EVERY_BYTE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    refused, of_many_lines = map(int, done.stdout.split())
    assert refused > size / 4
    assert of_many_lines == 0


@pytest.mark.parametrize("method", ["STORED", "DEFLATED", "BZIP2", "LZMA"])
def test_every_changed_byte_of_an_archive_is_an_error_of_one_line(tmp_path, method):
    path = tmp_path / "ml-1m.zip"
    ratings = "".join(f"{user}::{user % 7}::5::{user * 977}\n" for user in range(20))
    with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{method}")) as archive:
        archive.writestr("ml-1m/ratings.dat", ratings)
        archive.writestr("ml-1m/movies.dat", "1::Fargo (1996)::Crime\n" * 4)
    whole = path.read_bytes()
    messages = []
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF if position % 2 else 0x01
        path.write_bytes(damaged)
        try:
            read_interactions(path)
        except SeqzooError as error:
            messages.append(str(error))
    assert len(messages) > len(whole) / 2
    assert not any("\n" in message for message in messages)


def zip_bomb(path, size, lie=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shop/ratings.csv", b"\n" * size)
    if lie is not None:
        packed = path.read_bytes()
        path.write_bytes(packed.replace(size.to_bytes(4, "little"), lie.to_bytes(4, "little")))


def test_zip_bombs_are_refused_before_they_fill_the_memory(tmp_path):
    path = tmp_path / "shop.zip"
    zip_bomb(path, 200 << 20)
    tracemalloc.start()
    with pytest.raises(
        DataError, match=r"ratings\.csv of [\d,]+ bytes unpacks to more than 67,108"
    ):
        read_interactions(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150 << 20


def test_zip_bombs_that_lie_about_their_size_are_refused(tmp_path):
    path = tmp_path / "shop.zip"
    zip_bomb(path, 80 << 20, lie=100)
    with pytest.raises(DataError, match=r"shop\.zip: its member .*ratings\.csv cannot be read"):
        read_interactions(path)


def test_members_that_shrink_well_are_read(tmp_path):
    path = tmp_path / "shop.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shop/ratings.csv", HEAD + "1,a,10\n2,a,10\n" * 100_000)
    assert path.stat().st_size < 10_000
    assert len(read_interactions(path)) == 200_000


def test_a_carriage_return_within_a_field(tmp_path):
    """Python's reader of CSV refuses it; the message says where, and gives no advice on Python."""
    path = tmp_path / "shop.csv"
    path.write_bytes(b"user,item,timestamp\nann,a\rb,1\nbob,c\n")
    with pytest.raises(DataError, match=r"shop\.csv, line 2: new-line .*line$"):
        read_interactions(path)
