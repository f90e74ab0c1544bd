"""Recommendations for all users of a file: formats, layouts, and what users do wrong."""

import json
import random

import polars as pl
import pytest

import seqzoo
from seqzoo.cli.app import run
from seqzoo.data.readers import text
from seqzoo.errors import DataError, UnknownItemError, UsageError
from seqzoo.serving.batch import buckets
from seqzoo.serving.batch import lists as batch_lists
from seqzoo.serving.batch import run as batch_run
from seqzoo.serving.batch import users as batch_users
from seqzoo.serving.batch.run import recommend_file
from tests.samples import make_model

HISTORIES = {
    "ann": ["item-1", "item-2", "item-3"],
    "bob": ["item-7"],
    "cid": ["gone", "lost"],
    "dan": ["item-4", "gone", "item-5", "item-1"],
}
FORMATS = ("csv", "parquet", "jsonl")


@pytest.fixture(scope="module")
def model():
    return make_model()


def write(frame, path):
    getattr(
        frame,
        {"csv": "write_csv", "parquet": "write_parquet", "jsonl": "write_ndjson"}[path.suffix[1:]],
    )(path)
    return path


def events(seed=0):
    """One row per event, in no order of users; rows of one user are in time order."""
    rows = [
        (user, item, 100 + step)
        for user, items in HISTORIES.items()
        for step, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.sample(fraction=1, shuffle=True, seed=seed)


def whole(path):
    """One row per user."""
    lists = list(HISTORIES.values())
    if path.suffix == ".csv":
        lists = [" ".join(items) for items in lists]
    return write(pl.DataFrame({"user": list(HISTORIES), "history": lists}), path)


def read(path):
    if path.suffix == ".csv":
        return pl.read_csv(path, schema_overrides={"user": pl.String})
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)


def by_user(frame):
    return {
        user: part["item"].to_list()
        for (user,), part in frame.partition_by("user", as_dict=True).items()
    }


def expected(model, **options):
    answers = model.recommend_many(list(HISTORIES.values()), 3, on_cold="empty", **options)
    return {
        user: [each.item for each in best]
        for user, best in zip(HISTORIES, answers, strict=True)
        if best
    }


@pytest.mark.parametrize("out", FORMATS)
@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("layout", ["events", "users"])
def test_all_formats_and_layouts(model, tmp_path, layout, given, out):
    source = tmp_path / f"in.{given}"
    write(events(), source) if layout == "events" else whole(source)
    result = recommend_file(model, source, tmp_path / f"out.{out}", 3)
    frame = read(tmp_path / f"out.{out}")
    assert frame.columns == ["user", "rank", "item", "score", "label"]
    assert by_user(frame) == expected(model)
    assert frame["rank"].to_list() == [1, 2, 3] * 3
    assert (result.users, result.cold, result.unknown, result.rows) == (4, 1, 3, 9)
    best = model.recommend(HISTORIES["ann"], 1)[0]
    first = frame.filter((pl.col("user") == "ann") & (pl.col("rank") == 1)).row(0, named=True)
    assert (first["item"], first["label"]) == (best.item, best.label)
    assert first["score"] == pytest.approx(best.score, abs=1e-5)
    assert not list(tmp_path.glob(".*"))


def test_whole_numbers_as_users_stay_numbers(model, tmp_path):
    frame = pl.DataFrame({"user": [7, 8, 7], "item": ["item-1", "item-2", "item-3"]})
    recommend_file(
        model, write(frame, tmp_path / "a.parquet"), tmp_path / "b.parquet", 2, time_col=""
    )
    assert pl.read_parquet(tmp_path / "b.parquet")["user"].to_list() == [7, 7, 8, 8]


def test_events_that_need_several_buckets(model, tmp_path, monkeypatch):
    """The users of all buckets are there, each with the whole history in time order."""
    chance = random.Random(0)
    rows = [(f"u{chance.randrange(300)}", f"item-{chance.randrange(20)}", n) for n in range(5000)]
    chance.shuffle(rows)
    source = write(
        pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"), tmp_path / "in.csv"
    )
    monkeypatch.setattr(batch_run, "buckets_for", lambda path: 7)
    monkeypatch.setattr(buckets, "_BUFFERED", 1000)
    monkeypatch.setattr(text, "_PIECE", 1 << 13)
    monkeypatch.setattr(batch_users, "BLOCK", 10)
    recommend_file(model, source, tmp_path / "out.parquet", 2, exclude_seen=False)
    histories = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        histories.setdefault(user, []).append(item)
    answers = model.recommend_many(list(histories.values()), 2, exclude_seen=False)
    assert by_user(pl.read_parquet(tmp_path / "out.parquet")) == {
        user: [each.item for each in best] for user, best in zip(histories, answers, strict=True)
    }


def test_a_file_that_needs_more_buckets_than_there_may_be_is_warned_of(tmp_path, caplog):
    path = tmp_path / "in.parquet"
    with path.open("wb") as stream:
        stream.truncate(6 << 30)  # takes no space on the disk
    assert buckets.buckets_for(path) == 4096
    (warning,) = caplog.messages
    assert warning.startswith(f"{path} has 6.0 GiB; above 4.0 GiB the memory of a run grows")
    assert "here to about 1.5 times as much: divide the file by user" in warning
    with path.open("wb") as stream:
        stream.truncate(4 << 30)
    assert buckets.buckets_for(path) == 4096
    assert len(caplog.messages) == 1


def test_large_lists_by_user_are_divided_as_finely_as_they_need(model, tmp_path, monkeypatch):
    """However small the file of histories is."""
    monkeypatch.setattr(buckets, "_TEXT_BYTES", 1 << 10)
    items = [f"item-{n}" for n in range(1, 20)]
    rows = [(user, item) for user in HISTORIES for item in items * 10]
    lists = write(pl.DataFrame(rows, schema=["user", "item"], orient="row"), tmp_path / "x.csv")
    counts = []

    class Noted(buckets.Buckets):
        def __init__(self, folder, count):
            counts.append(count)
            super().__init__(folder, count)

    monkeypatch.setattr(batch_users, "Buckets", Noted)
    monkeypatch.setattr(batch_lists, "Buckets", Noted)
    source = write(events(), tmp_path / "in.csv")
    result = recommend_file(model, source, tmp_path / "out.csv", 3, exclude=lists)
    assert counts == [-(-lists.stat().st_size // (1 << 10))] * 2
    assert (result.users, result.rows) == (4, 3)


@pytest.mark.parametrize("layout", ["events", "users"])
def test_candidates_and_exclusions_by_user_from_files(model, tmp_path, layout):
    source = tmp_path / "in.parquet"
    write(events(), source) if layout == "events" else whole(source)
    candidates = {"ann": ["item-9", "item-8", "gone"], "bob": ["item-9"], "dan": ["item-2"]}
    exclude = {"ann": ["item-8"], "dan": ["item-2"]}

    def listed(lists, path):
        rows = [(user, item) for user, items in lists.items() for item in items]
        return write(pl.DataFrame(rows, schema=["user", "item"], orient="row"), path)

    recommend_file(
        model,
        source,
        tmp_path / "out.csv",
        5,
        candidates=listed(candidates, tmp_path / "c.csv"),
        exclude=listed(exclude, tmp_path / "x.jsonl"),
    )
    assert by_user(read(tmp_path / "out.csv")) == {"ann": ["item-9"], "bob": ["item-9"]}
    found = model.recommend_many(
        [HISTORIES[user] for user in candidates],
        5,
        candidates=list(candidates.values()),
        exclude=[exclude.get(user, []) for user in candidates],
    )
    assert [[each.item for each in best] for best in found] == [["item-9"], ["item-9"], []]


def test_lists_for_everyone(model, tmp_path):
    source = whole(tmp_path / "in.csv")
    stock = write(pl.DataFrame({"item": ["item-8", "item-9", "x"]}), tmp_path / "stock.csv")
    recommend_file(model, source, tmp_path / "a.csv", 5, candidates=stock, exclude=["item-9"])
    assert set(read(tmp_path / "a.csv")["item"]) == {"item-8"}


def test_timestamps_are_read_in_both_layouts(tmp_path):
    """TiM4Rec uses the times, so the answers show whether they came through."""
    model = seqzoo.load("tim4rec-ml100k")
    histories, times = [["1", "2", "3"], ["4", "5"]], [[100, 200, 100_000], [5, 6]]
    expected = model.recommend_many(histories, 3, timestamps=times)
    assert expected != model.recommend_many(histories, 3, timestamps=[[1, 1, 1], [1, 1]])
    lists = pl.DataFrame({"user": ["a", "b"], "history": histories, "timestamps": times})
    words = lists.with_columns(
        pl.col("history").list.join(" "),
        pl.col("timestamps").cast(pl.List(pl.String)).list.join(" "),
    )
    rows = lists.explode("history", "timestamps").rename({"history": "item", "timestamps": "time"})
    for number, source in enumerate(
        [
            write(lists, tmp_path / "a.parquet"),
            write(words, tmp_path / "b.csv"),
            write(rows.sample(fraction=1, shuffle=True, seed=1), tmp_path / "c.csv"),
        ]
    ):
        out = tmp_path / f"out{number}.parquet"
        recommend_file(model, source, out, 3)
        found = pl.read_parquet(out).sort("user", "rank")
        assert found["item"].to_list() == [each.item for best in expected for each in best]
        scores = [each.score for best in expected for each in best]
        assert found["score"].to_list() == pytest.approx(scores, abs=1e-5)


def test_popular_items_for_cold_users(checkpoint, tmp_path):
    model = seqzoo.load(checkpoint)
    result = recommend_file(
        model, whole(tmp_path / "a.csv"), tmp_path / "b.csv", 2, on_cold="popular"
    )
    assert result.cold == 1
    cold = read(tmp_path / "b.csv").filter(pl.col("user") == "cid")
    assert (cold["item"].to_list(), cold["score"].to_list()) == (["item-19", "item-18"], [20, 19])


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", "user,item,time\nann,item-1,1\n,item-2,2\n", {}, "a.csv, line 3: the user is"),
        ("a.csv", "user,item,time\nann,item-1,x\n", {}, "a.csv, line 2: the time 'x' is"),
        ("a.csv", "user,history\nann,item-1 gone\n", {"on_unknown": "error"}, "line 2: item"),
        ("a.csv", "user,history\nann,item-1\nbob,\n", {"on_cold": "error"}, "line 3: the h"),
        ("a.csv", "user,history\nann\n", {}, "a.csv, line 2: 1 fields, expected 2"),
        ("a.csv", "user,item,time\nbob,gone,1\n", {"on_cold": "error"}, "a.csv: user 'bob'"),
        ("a.csv", "user,price\n1,2\n", {}, "no column is recognised as the item column"),
        ("a.jsonl", '{"user": "a", "item": "b"}\n{\n', {"time_col": ""}, "a.jsonl, line 2"),
        ("a.jsonl", '{"user": "a", "history": ["b", null]}\n', {}, "a.jsonl, line 1: the column"),
        ("a.jsonl", '{"user": "a", "history": ["b"]}\n{"user": "a", "history": 3}\n', {}, "line 2"),
        ("a.jsonl", '{"user":"a","history":["b","c"],"timestamps":[2,1]}\n', {}, "line 1: time"),
        ("a.jsonl", "[1]\n", {}, "a.jsonl, line 1: "),
        ("a.jsonl", "\n", {}, "a.jsonl is empty"),
        ("a.xlsx", "x", {}, "the format of the file is unknown"),
    ],
)  # fmt: skip
def test_damaged_files_name_the_file_and_the_line(model, tmp_path, name, content, options, message):
    (tmp_path / name).write_text(content)
    with pytest.raises((DataError, UnknownItemError)) as caught:
        recommend_file(model, tmp_path / name, tmp_path / "out.csv", 3, **options)
    assert message in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_wrong_arguments(model, tmp_path):
    source = whole(tmp_path / "in.csv")
    existing = tmp_path / "there.csv"
    existing.write_text("mine")
    for out, options, message in [
        (tmp_path / "out.xlsx", {}, "expected one of: .parquet"),
        (existing, {}, "there.csv exists already"),
        (tmp_path / "no" / "out.csv", {}, "does not exist; create it first"),
        (tmp_path / "out.csv", {"k": 21}, "k is 21; expected 1 to 20"),
        (tmp_path / "out.csv", {"on_cold": "popular"}, "has no item counts"),
        (tmp_path / "out.csv", {"history_col": "histroy"}, "did you mean 'history'"),
        (tmp_path / "out.csv", {"user_col": "history"}, "chosen for"),
    ]:
        with pytest.raises((UsageError, DataError)) as caught:
            recommend_file(model, source, out, **{"k": 3, **options})
        assert message in str(caught.value)
    assert existing.read_text() == "mine"
    recommend_file(model, source, existing, 3, overwrite=True)
    assert by_user(read(existing)) == expected(model)


def test_prepared_data_and_data_sets(tmp_path, real_data):
    folder = tmp_path / "prepared"
    source = real_data("ml-100k")
    assert (
        run(["data", "prepare", str(source), "--out", str(folder), "--min-count", "1", "-q"]) == 0
    )
    model = seqzoo.load("gru4rec-ml100k")
    results = [
        recommend_file(model, given, tmp_path / f"{number}.parquet", 3)
        for number, given in enumerate([folder, source, source / "ml-100k.inter"])
    ]
    assert {result.users for result in results} == {943}
    frames = [pl.read_parquet(tmp_path / f"{n}.parquet").sort("user", "rank") for n in range(3)]
    assert frames[0]["item"].to_list() == frames[1]["item"].to_list() == frames[2]["item"].to_list()


def test_from_the_command_line(checkpoint, tmp_path, capsys):
    source = whole(tmp_path / "in.csv")
    words = ["recommend", str(checkpoint), "--histories", str(source), "-k", "3"]
    assert run([*words, "--out", str(tmp_path / "out.csv"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"model", "users", "cold", "rows", "seconds", "out"} <= set(said)
    assert (said["model"], said["users"], said["cold"]) == (str(checkpoint), 4, 1)
    assert run([*words, "--out", str(tmp_path / "again.csv")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("9 recommendations for 4 users in ")
    assert "the model knows no item of 1 users, who got nothing" in err
    assert "skipped 3 events with items that the model does not know" in err
    for more, message in [
        ([], "--histories needs a file for the recommendations: --out FILE"),
        (["--history", "item-1", "--out", "a.csv"], "without --history"),
        (["--data", "x", "--out", "a.csv"], "give one of --histories FILE and --data SOURCE"),
        (["--out", str(tmp_path / "out.csv")], "exists already"),
    ]:
        assert run([*words, *more]) == 2
        assert message in capsys.readouterr().err
