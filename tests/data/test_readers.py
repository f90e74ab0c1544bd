"""The known file formats, and what is read from each."""

import zipfile

import polars as pl
import pytest

from seqzoo.data.readers import read_interactions

CSV = "user_id,item_id,timestamp\n007,x,30\n007,y,10\n8,x,20\n"
ROWS = [("007", "x", 30), ("007", "y", 10), ("8", "x", 20)]


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(data):
    return data.frame.rows()


def test_csv(write):
    data = read_interactions(write("shop.csv", CSV))
    assert rows(data) == ROWS
    assert (data.name, data.has_times, data.labels) == ("shop", True, {})
    assert read_interactions(str(write("shop.csv", CSV)), name="mine").name == "mine"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.csv", CSV.replace(",", ";")),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", "\n" + CSV.replace("\n", "\n\n")),
        ("a.csv", "  \n\n \t\r\n" + CSV),
        ("a.csv", "\ufeff  \n" + CSV),
        ("a.csv", CSV.rstrip("\n")),
        ("a.txt", CSV.replace(",", "|")),
        ("a.csv", 'user_id,item_id,timestamp\n"007","x",30\n"007",y,"10"\n8,x,20\n'),
        ("a.csv", "rating,timestamp,item_id,user_id\n5,30,x,007\n,10,y,007\n3,20,x,8\n"),
        ("a.csv", "userId,movieId,unixReviewTime,rating\n007,x,30,1\n007,y,10,\n8,x,20,\n"),
        ("a.csv", "session_id,user,asin,time\n1,007,x,30\n1,007,y,10\n1,8,x,20\n"),
        (
            "a.inter",
            "user_id:token\titem_id:token\ttimestamp:float\n007\tx\t30\n007\ty\t10\n8\tx\t20",
        ),
    ],
)
def test_the_same_rows_in_other_formats(write, name, content):
    assert rows(read_interactions(write(name, content))) == ROWS


def test_named_columns_and_labels(write):
    path = write("a.csv", "who,what,when,called\n1,a,3,Alpha\n2,b,4,\n2,a,5,Other\n")
    data = read_interactions(
        path, user_col="who", item_col="what", time_col="when", label_col="called"
    )
    assert rows(data) == [("1", "a", 3), ("2", "b", 4), ("2", "a", 5)]
    assert data.labels == {"a": "Alpha"}


def test_position_instead_of_times(write):
    data = read_interactions(write("a.csv", "user,item,position\n1,a,1\n1,b,0\n2,a,0\n"))
    assert [order for *_, order in rows(data)] == [1, 0, 0]
    assert not data.has_times


def test_timestamps_are_preferred_to_positions_unless_positions_are_chosen(write):
    path = write("a.csv", "user,item,position,time\n1,a,1,50\n2,b,0,60\n")
    assert read_interactions(path).has_times
    named = read_interactions(path, time_col="position")
    assert (rows(named)[0][2], named.has_times) == (1, False)


def test_an_empty_time_column_keeps_the_order_of_rows(write):
    data = read_interactions(write("a.csv", "user,item\n1,a\n\n1,b\n2,a\n"), time_col="")
    assert [order for *_, order in rows(data)] == [0, 1, 2]
    assert not data.has_times


def test_parquet(tmp_path):
    frame = pl.DataFrame({"user_id": [7, 7, 8], "item_id": ["x", "y", "x"], "time": [3, 1, 2]})
    frame.write_parquet(tmp_path / "a.parquet")
    expected = [("7", "x", 3), ("7", "y", 1), ("8", "x", 2)]
    assert rows(read_interactions(tmp_path / "a.parquet")) == expected
    for kind in (pl.Float64, pl.Datetime("ms"), pl.Datetime("us", "Europe/Berlin"), pl.UInt32):
        seconds = pl.col("time") * (1000 if kind == pl.Datetime("ms") else 1)
        if isinstance(kind, pl.Datetime) and kind.time_zone:
            seconds = seconds * 1_000_000
        frame.with_columns(seconds.cast(kind)).write_parquet(tmp_path / "a.parquet")
        assert rows(read_interactions(tmp_path / "a.parquet")) == expected


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32])
def test_whole_float_ids_are_those_of_integers(tmp_path, kind):
    ids = {"user": [1, 2], "item": [7, 16_777_216]}
    frame = pl.DataFrame({**ids, "time": [3, 1]})
    frame.with_columns(pl.col("user", "item").cast(kind)).write_parquet(tmp_path / "a.parquet")
    expected = [("1", "7", 3), ("2", "16777216", 1)]
    assert rows(read_interactions(tmp_path / "a.parquet")) == expected


def test_other_float_ids_stay_as_they_are(tmp_path):
    frame = pl.DataFrame({"user": [1.0, 1.5, 1e300], "item": [-0.0, -1.0, 2.25], "time": [1, 2, 3]})
    frame.write_parquet(tmp_path / "a.parquet")
    users, items, _ = zip(*rows(read_interactions(tmp_path / "a.parquet")), strict=True)
    assert users[:2] == ("1", "1.5")
    assert float(users[2]) == 1e300
    assert items == ("0", "-1", "2.25")


def test_recbole_folder_with_titles(write):
    write(
        "shop/shop.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        '1\tUsual Suspects, The\t1995\tCrime\n2\tSay "Hi\tunknown\tDrama\n3\t\t1999\tDrama\n',
    )
    inter = (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t1\t5\t9.7e8\n2\t2\t3\t7\n"
    )
    file = write("shop/shop.inter", inter)
    write("shop/shop.user", "user_id:token\tage:token\n1\t7\n")
    for source in (file, file.parent):
        data = read_interactions(source)
        assert rows(data) == [("1", "1", 970_000_000), ("2", "2", 7)]
        assert data.labels == {"1": "Usual Suspects, The (1995)", "2": 'Say "Hi'}
        assert data.categories == {"1": ("Crime",), "2": ("Drama",), "3": ("Drama",)}
        assert data.name == "shop"


def test_categories_are_not_titles(write):
    items = "item_id:token\tcategories:token_seq\ttitle:token\n1\tBeauty Make-up\tLipstick\n"
    write("shop/shop.item", items)
    inter = "user_id:token\titem_id:token\ttimestamp:float\n1\t1\t5\n2\t1\t7\n"
    data = read_interactions(write("shop/shop.inter", inter))
    assert data.labels == {"1": "Lipstick"}
    assert data.categories == {"1": ("Beauty", "Make-up")}


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


GROUPLENS = {
    "ml-1m": {
        "ratings.dat": "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978301968\n",
        "movies.dat": "1193::Amélie (2001)::Drama\n661::Fargo: A Film (1996)::Crime\n",
    },
    "ml-100k": {
        "u.data": "1\t1193\t5\t978300760\n1\t661\t3\t978302109\n2\t1193\t4\t978301968\n",
        "u.item": "1193|Amélie (2001)|2001||url|0\n661|Fargo: A Film (1996)|1996||url|0\n",
        "README": "terms",
    },
    "ml-latest-small": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,1193,5.0,978300760\n"
        "1,661,3.5,978302109\n2,1193,4.0,978301968\n",
        "movies.csv": "movieId,title,genres\n1193,Amélie (2001),Drama\n"
        '661,"Fargo: A Film (1996)",\n',
        "tags.csv": "userId,movieId,tag,timestamp\n1,1193,funny,1\n",
    },
}


@pytest.mark.parametrize("name", GROUPLENS)
@pytest.mark.parametrize("form", ["folder", "zip", "file"])
def test_grouplens(tmp_path, write, name, form):
    coding = "utf-8" if name == "ml-latest-small" else "latin-1"
    members = {f"{name}/{file}": text.encode(coding) for file, text in GROUPLENS[name].items()}
    if form == "zip":
        source = zipped(tmp_path / f"{name}.zip", members)
    else:
        for file, content in members.items():
            write(file, content)
        source = tmp_path / name
        if form == "file":
            source = source / next(iter(GROUPLENS[name]))
    data = read_interactions(source)
    assert rows(data) == [
        ("1", "1193", 978300760),
        ("1", "661", 978302109),
        ("2", "1193", 978301968),
    ]
    assert data.labels == {"1193": "Amélie (2001)", "661": "Fargo: A Film (1996)"}
    assert data.categories.get("1193") == (None if name == "ml-100k" else ("Drama",))
    if form != "file":
        assert data.name == name


@pytest.mark.parametrize("titles", ["movies.dat", "u.item"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_titles_in_utf8_or_latin_1(write, titles, coding, ending):
    # U+0085 and U+001C end a line for str.splitlines, but neither in these files nor for polars.
    expected = {"1": "Amélie\x85 (2001)", "2": "Léon\x1c (1994)"}
    separator, ratings = ("::", "ratings.dat") if titles == "movies.dat" else ("|", "u.data")
    between = "::" if titles == "movies.dat" else "\t"
    write(f"films/{ratings}", "".join(f"{u}{between}1{between}5{between}9\n" for u in (1, 2)))
    lines = [f"{item}{separator}{title}{separator}Drama" for item, title in expected.items()]
    folder = write(f"films/{titles}", ending.join(lines).encode(coding)).parent
    assert read_interactions(folder).labels == expected


def test_amazon_2014_without_a_header(write):
    text = "A1YJEY40YUW4SE,B004756YJA,5.0,1318896000\n0000013714,7806397051,3.0,987654321\n"
    for source in (write("ratings_Beauty.csv", text), write("beauty/r.csv", text).parent):
        assert rows(read_interactions(source)) == [
            ("A1YJEY40YUW4SE", "B004756YJA", 1318896000),
            ("0000013714", "7806397051", 987654321),
        ]
