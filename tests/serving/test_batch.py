"""Recommendations for all users of a file: formats, layouts, resuming, and what users do wrong."""

import polars as pl
import pytest

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
    """One row an event, in no order of users; rows of one user are in time order."""
    rows = [
        (user, item, 100 + step)
        for user, items in HISTORIES.items()
        for step, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.sample(fraction=1, shuffle=True, seed=seed)


def whole(path):
    """One row a user."""
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
    assert [path.name for path in tmp_path.iterdir()] != []
    assert not list(tmp_path.glob(".*"))


def test_whole_numbers_as_users_stay_numbers(model, tmp_path):
    frame = pl.DataFrame({"user": [7, 8, 7], "item": ["item-1", "item-2", "item-3"]})
    recommend_file(
        model, write(frame, tmp_path / "a.parquet"), tmp_path / "b.parquet", 2, time_col=""
    )
    assert pl.read_parquet(tmp_path / "b.parquet")["user"].to_list() == [7, 7, 8, 8]
