"""Recommendations over iterators and tables in memory."""

import itertools

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import seqzoo
from seqzoo.errors import DataError, UsageError
from tests.samples import make_model


@pytest.fixture(scope="module")
def model():
    return make_model()


def test_an_endless_iterator(model):
    users = ((n, [f"item-{n % 20}", f"item-{(n + 3) % 20}"]) for n in itertools.count())
    found = list(itertools.islice(model.recommend_stream(users, 3, batch_size=4), 50))
    assert [user for user, _ in found] == list(range(50))
    for n, best in found[::7]:
        expected = model.recommend([f"item-{n % 20}", f"item-{(n + 3) % 20}"], 3)
        assert [each.item for each in best] == [each.item for each in expected]
    assert next(users)[0] == 64


def test_users_of_another_form(model):
    for users in ([("a",)], ["ab"], [("a", ["item-1"]), ("b", ["item-1"], [1])]):
        with pytest.raises(UsageError, match="not of the form"):
            list(model.recommend_stream(users, 3))


def test_tables_of_all_kinds(model):
    lists = {"user": ["a", "b"], "history": [["item-1", "item-2"], ["gone"]]}
    table = pa.table(lists)
    batches = table.to_batches(max_chunksize=1)
    expected = [each.item for each in model.recommend(["item-1", "item-2"], 3)]
    for tables in ([table], batches, [pl.DataFrame(lists)]):
        found = list(seqzoo.recommend_tables(model, tables, 3))
        assert len(found) == len(tables)
        assert pl.concat(found)["item"].to_list() == expected
    events = pd.DataFrame(
        {"user": [7, 8, 7], "item": ["item-2", "item-3", "item-1"], "time": [2, 1, 1]}
    )
    (found,) = seqzoo.recommend_tables(model, [events], 3, exclude=["item-9"])
    assert found["user"].to_list() == [7] * 3 + [8] * 3
    best = model.recommend(["item-1", "item-2"], 3, exclude=["item-9"])
    assert found["item"].to_list()[:3] == [each.item for each in best]
    assert found.to_arrow().schema.field("user").type == pa.int64()


def test_wrong_tables(model):
    with pytest.raises(DataError, match=r"row 2.*user is missing"):
        list(
            seqzoo.recommend_tables(
                model, [{"user": ["a", None], "item": ["item-1"] * 2}], time_col=""
            )
        )
    with pytest.raises(UsageError, match="on_cold is 'no'"):
        list(seqzoo.recommend_tables(model, [], on_cold="no"))


def test_lists_by_user_as_tables(model):
    tables = [{"user": ["a", "b", "c"], "history": [["item-1", "item-2"], ["item-3"], ["item-4"]]}]
    bought = pd.DataFrame({"user": ["a", "a", "b"], "item": ["item-5", "item-6", "item-7"]})
    (found,) = seqzoo.recommend_tables(model, tables, 3, exclude=bought)
    left_out = {"a": ["item-5", "item-6"], "b": ["item-7"], "c": []}
    for user, history in zip(tables[0]["user"], tables[0]["history"], strict=True):
        best = model.recommend(history, 3, exclude=left_out[user])
        own = found.filter(user=user)["item"].to_list()
        assert own == [each.item for each in best]
    wanted = pl.DataFrame({"user": ["b"], "items": [["item-8", "item-9"]]})
    (found,) = seqzoo.recommend_tables(model, tables, 3, candidates=wanted)
    assert found["user"].to_list() == ["b", "b"]
    assert set(found["item"]) == {"item-8", "item-9"}
    # Without a column of users a table is for everyone, as the same ids in a list are.
    of_all = seqzoo.recommend_tables(model, tables, 3, candidates={"item": ["item-8", "item-9"]})
    same = seqzoo.recommend_tables(model, tables, 3, candidates=["item-8", "item-9"])
    assert next(of_all).equals(next(same))


def test_lists_by_user_follow_ids_that_are_numbers(model):
    events = pl.DataFrame({"user": [7, 8], "item": ["item-1", "item-1"]})
    bought = pl.DataFrame({"user": [8], "item": ["item-2"]})
    options = {"time_col": "", "exclude": bought}
    (found,) = seqzoo.recommend_tables(model, [events], len(model.vocabulary) - 1, **options)
    assert "item-2" in found.filter(user=7)["item"]
    assert "item-2" not in found.filter(user=8)["item"]


def test_files_are_asked_for_where_a_table_is_given(model, tmp_path):
    table = pl.DataFrame({"user": ["a"], "item": ["item-1"]})
    for source in (table, table.to_pandas(), [("a", "item-1", 1)]):
        with pytest.raises(UsageError, match=r"the source is a .*call seqzoo.recommend_tables"):
            seqzoo.recommend_file(model, source, tmp_path / "out.csv")
    table.write_csv(tmp_path / "views.csv")
    with pytest.raises(UsageError, match=r"exclude is a DataFrame.*seqzoo.recommend_tables"):
        seqzoo.recommend_file(model, tmp_path / "views.csv", tmp_path / "out.csv", exclude=table)
    assert not (tmp_path / "out.csv").exists()
