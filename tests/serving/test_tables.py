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
