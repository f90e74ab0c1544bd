"""A table in memory is data: for training, for evaluation, and in the stored recipe."""

import random

import polars as pl
import pytest

import seqzoo
from seqzoo.errors import DataError

SETTINGS = {
    "architecture": "sasrec",
    "model": {"hidden_size": 8, "max_length": 10},
    "train": {"epochs": 1},
}


@pytest.fixture(scope="module")
def frame():
    draw = random.Random(0)
    rows = [(f"u{u}", f"i{draw.randrange(30)}", t) for u in range(60) for t in range(12)]
    return pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")


@pytest.mark.parametrize("form", ["frame", "pandas", "arrow", "rows", "path"])
def test_every_form_of_a_table_trains_the_same_model(frame, form, tmp_path):
    frame.write_csv(tmp_path / "events.csv")
    data = {
        "frame": frame,
        "pandas": frame.to_pandas(),
        "arrow": frame.to_arrow(),
        "rows": frame.rows(),
        "path": tmp_path / "events.csv",
    }[form]
    recipe = {**SETTINGS, "data": {"min_count": 1}}
    expected = seqzoo.train({**SETTINGS, "data": {"source": frame, "min_count": 1}}, tmp_path / "a")
    result = seqzoo.train(recipe, tmp_path / "b", data=data)
    weights = [(out / "model.safetensors").read_bytes() for out in (expected.out, result.out)]
    assert weights[0] == weights[1]
    assert result.metrics == expected.metrics


def test_the_recipe_says_in_memory_and_eval_takes_the_table(frame, tmp_path):
    recipe = {**SETTINGS, "data": {"min_count": 1}}
    model = seqzoo.load(seqzoo.train(recipe, tmp_path / "run", data=frame).out)
    assert model.recipe["data"]["source"] == "a table in memory"
    found = seqzoo.evaluate(model, frame)
    assert (found.drift, found.data["match"]) == ({}, "same")
    assert seqzoo.evaluate(model, frame.sort("user", descending=True)).drift == {}
    with pytest.raises(DataError, match="a table in memory"):
        seqzoo.train(model.recipe, tmp_path / "again")
