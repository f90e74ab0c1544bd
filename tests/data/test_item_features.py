"""Features of items from files and tables."""

import json

import numpy as np
import polars as pl
import pytest

from seqzoo.data.item_table import FeatureColumn, ItemTable, aligned, table_of_labels
from seqzoo.data.readers.item_features import read_item_features
from seqzoo.errors import ConfigError, DataError

ROWS = {
    "item_id": ["a", "b", "c"],
    "title": ["Red lamp", "", "Oak chair"],
    "tags": [["light", "red"], [], ["wood"]],
    "price": [9.5, None, 120.0],
    "vector": [[0.1, 0.2], None, [0.3, 0.4]],
    "new": [True, False, True],
}


def values(columns):
    return {column.name: (column.kind, column.values) for column in columns}


@pytest.fixture(params=["memory", "parquet", "jsonl"])
def typed(request, tmp_path):
    if request.param == "memory":
        return ROWS
    path = tmp_path / f"features.{request.param}"
    frame = pl.DataFrame(ROWS)
    frame.write_parquet(path) if request.param == "parquet" else frame.write_ndjson(path)
    return path


def test_typed_columns_show_their_kinds(typed):
    ids, columns = read_item_features(typed)
    assert ids == ["a", "b", "c"]
    found = values(columns)
    assert found["title"] == ("text", ("Red lamp", "", "Oak chair"))
    assert found["tags"] == ("categories", (("light", "red"), (), ("wood",)))
    assert found["new"] == ("category", ("true", "false", "true"))
    assert found["price"][0] == "number"
    assert np.array_equal(found["price"][1], [9.5, np.nan, 120.0], equal_nan=True)
    assert found["vector"][0] == "vector"
    assert np.allclose(found["vector"][1], [[0.1, 0.2], [0, 0], [0.3, 0.4]])


def test_text_columns_show_their_kinds_by_their_values(tmp_path):
    path = tmp_path / "features.csv"
    rows = [
        f'i{n},"Title of {n}",{n}.5,"[{n}, 0.5]",Action|Comedy,{"x" if n % 2 else "y"}'
        for n in range(40)
    ]
    path.write_text("\n".join(["item_id,title,price,vector,genres,brand", *rows]))
    found = values(read_item_features(path)[1])
    kinds = {name: kind for name, (kind, _) in found.items()}
    assert kinds == {
        "title": "text",
        "price": "number",
        "vector": "vector",
        "genres": "categories",
        "brand": "category",
    }
    assert found["genres"][1][0] == ("Action", "Comedy")
    assert found["vector"][1].shape == (40, 2)


def test_a_title_with_the_sign_of_categories_is_text():
    rows = [{"item_id": f"i{n}", "title": f"Lamp {n} | red"} for n in range(9)]
    assert read_item_features(rows)[1][0].kind == "text"


def test_declared_kinds_choose_columns(tmp_path):
    path = tmp_path / "features.csv"
    path.write_text("sku,year,title\nx,1995,One\ny,1996,Two\n")
    kinds = {"year": "category"}
    ids, columns = read_item_features(path, kinds, "sku")
    assert (ids, values(columns)) == (["x", "y"], {"year": ("category", ("1995", "1996"))})


def test_a_recbole_item_file_is_read(real_data):
    ids, columns = read_item_features(real_data("ml-100k"))
    assert len(ids) == 1682
    assert values(columns)["movie_title"][0] == "text"


@pytest.mark.parametrize(
    ("content", "kinds", "said"),
    [
        ("name,title\nx,One\n", None, "no single column is recognised as the item column"),
        ("item_id\nx\n", None, "expected columns of features too"),
        ("item_id,title\nx,One\n", {"titel": "text"}, "did you mean 'title'"),
        ("item_id,price\nx,cheap\n", {"price": "number"}, "row 1 has 'cheap' in column 'price'"),
        ('item_id,v\nx,"[1, 2]"\ny,[1]\n', None, "row 2 has '\\[1\\]' in column 'v'"),
        ("item_id,v\nx,[nan]\n", {"v": "vector"}, "finite numbers"),
        ("item_id,title\n,One\n", None, "row 1 has no item id"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, kinds, said):
    path = tmp_path / "features.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        read_item_features(path, kinds)


def test_an_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'category'"):
        read_item_features(ROWS, {"title": "categry"})


def test_a_broken_json_line_is_refused(tmp_path):
    path = tmp_path / "features.jsonl"
    path.write_text(json.dumps({"item_id": "a", "title": "x"}) + "\n{not json}\n")
    with pytest.raises(DataError, match="cannot be read as JSON lines"):
        read_item_features(path)


def test_rows_follow_the_vocabulary():
    ids, columns = read_item_features(ROWS)
    table = aligned(columns, ids, ["c", "none", "a"])
    assert values(table.columns)["title"][1] == ("Oak chair", "", "Red lamp")
    assert table.columns[2].is_missing().tolist() == [False, True, False]
    with pytest.raises(DataError, match="none of the 1 items has features"):
        aligned(columns, ids, ["z"])


def test_a_table_grows_by_the_columns_it_has():
    table = table_of_labels(["One", None])
    assert table.extended(None, 1).columns[0].values == ("One", "", "")
    assert table.extended(table_of_labels(["Three"]), 1).columns[0].values == ("One", "", "Three")
    other = ItemTable((FeatureColumn("label", "category", ("x",)),))
    with pytest.raises(DataError, match="is a category; the model reads a text"):
        table.extended(other, 1)
    with pytest.raises(DataError, match="have no column 'label'"):
        table.extended(ItemTable((FeatureColumn("x", "text", ("x",)),)), 1)


@pytest.mark.parametrize("text", ["[" * 100_000, f"[0.5, 1{'0' * 400}]"], ids=["deep", "huge"])
def test_text_that_is_not_a_vector_is_named(tmp_path, text):
    path = tmp_path / "features.csv"
    rows = [f'i{n},"[{n}, 0.5]"' for n in range(40)]
    path.write_text("\n".join(["item_id,vector", *rows, f'last,"{text}"']))
    with pytest.raises(DataError, match="expected a vector"):
        read_item_features(path)
