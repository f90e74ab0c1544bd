"""Embedders that sum the vectors of an item's id and of its features."""

import numpy as np
import pytest
import torch

from seqzoo.data.item_table import FeatureColumn, ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UsageError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.parts.feature_codes import codes_of, words_and_ngrams
from seqzoo.testing.conformance import check_model
from seqzoo.testing.items import example_features
from seqzoo.testing.run import small_model

SETTINGS = {"embedder": "item-features", "hidden_size": 8, "max_length": 10}


def model_of(*columns, **settings):
    items = [f"i{index}" for index in range(len(columns[0]))]
    torch.manual_seed(0)
    return SequenceModel.build(
        "gru4rec", {**SETTINGS, **settings}, Vocabulary(items), ItemTable(columns)
    ).eval()


def test_words_and_their_parts():
    assert words_and_ngrams("Red-red", []) == {"<red>"}
    assert words_and_ngrams("ab", [3]) == {"<ab>", "<ab", "ab>"}
    assert words_and_ngrams("  ", [3]) == set()


def test_codes_are_the_same_in_every_process():
    columns = [
        FeatureColumn("title", "text", ("ab", "")),
        FeatureColumn("tags", "categories", ((), ("x", "y"))),
    ]
    codes, weights, starts = codes_of(columns, 1000, [3])
    assert starts.tolist() == [0, 0, 3]
    # Stored weights depend on these numbers.
    assert codes.tolist() == [369, 453, 522, 52, 378]
    assert weights.tolist() == pytest.approx([3**-0.5] * 3 + [2**-0.5] * 2)


def test_the_sum_of_code_vectors_has_the_gradient_of_a_plain_version():
    table = example_features(30)
    columns = [column for column in table.columns if column.kind in ("text", "categories")]
    model = model_of(*columns).double().train()
    embedder = model.embedder
    codes, weights, starts = codes_of(columns, embedder.config.feature_codes, [3, 4])
    ends = [*starts[1:], len(codes)]
    plain = torch.zeros(31, 8, dtype=torch.float64)
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        for code, weight in zip(codes[start:end], weights[start:end], strict=True):
            if embedder.code_counts[code]:
                plain[index] = plain[index] + float(weight) * embedder.code_table[code]
    found = embedder._features()
    assert torch.allclose(found, plain)
    draw = torch.randn_like(plain)
    (one,) = torch.autograd.grad((found * draw).sum(), embedder.code_table)
    (other,) = torch.autograd.grad((plain * draw).sum(), embedder.code_table)
    assert torch.allclose(one, other)


def test_equal_features_give_equal_new_items_and_others_differ():
    model = small_model("gru4rec", embedder="item-features")
    features = {
        "item_id": ["x", "y", "z"],
        "title": ["red lamp", "red lamp", "wooden chair"],
        "brand": ["a", "a", None],
        "tags": [["small"], ["small"], []],
        "price": [5.0, 5.0, None],
        "picture": [[1.0] * 5, [1.0] * 5, None],
    }
    model.extend(["x", "y", "z"], features)
    x, y, z = model.embedder.item_table[-3:]
    assert torch.equal(x, y)
    assert not torch.allclose(x, z)


def test_an_item_without_values_has_the_vector_of_its_id_alone():
    title = FeatureColumn("title", "text", ("", "lamp"))
    price = FeatureColumn("price", "number", np.array([np.nan, 3.0]))
    vector = FeatureColumn("v", "vector", np.array([[0, 0], [1, 2]], dtype=np.float32))
    embedder = model_of(title, price, vector, feature_min_items=1).embedder
    assert torch.equal(embedder.item_table[1], embedder.id_table[1])
    assert not torch.equal(embedder.item_table[2], embedder.id_table[2])


def test_numbers_are_interpolated_and_the_scale_is_kept():
    price = FeatureColumn("price", "number", np.array([0.0, 1.0, 2.0, 1e9]))
    model = model_of(price)
    embedder = model.embedder
    near = embedder._interpolated()[1:]
    assert torch.allclose(near.sum(1), torch.ones(4, dtype=near.dtype))
    scale = embedder.number_scale.clone()
    model.extend(["new"], [{"item_id": "new", "price": -1e12}])
    assert torch.equal(model.embedder.number_scale, scale)
    assert model.embedder.item_table.isfinite().all()


def test_ids_are_dropped_in_training_alone():
    model = small_model("gru4rec", embedder="item-features", id_dropout=0.9)
    features = model.embedder._features()
    with torch.no_grad():
        whole = model.embedder.item_table
        model.train()
        dropped = (model.embedder.item_table == features).all(1)
        model.eval()
        assert torch.equal(model.embedder.item_table, whole)
    assert 15 < int(dropped.sum()) < 31


def test_the_table_is_computed_again_after_a_change():
    model = small_model("gru4rec", embedder="item-features")
    with torch.no_grad():
        first = model.embedder.item_table
        assert model.embedder.item_table is first
        model.embedder.code_table += 1
        assert not torch.equal(model.embedder.item_table, first)


def test_words_of_few_items_count_neither_then_nor_later():
    titles = FeatureColumn("title", "text", ("red lamp", "red chair", "red", "blue chair"))
    model = model_of(titles, feature_min_items=2, ngram_sizes=[])
    table = model.embedder.item_table
    red = table[3] - model.embedder.id_table[3]
    assert torch.allclose(table[1] - model.embedder.id_table[1], red * 2**-0.5)
    new = [{"item_id": f"n{n}", "title": "lamp"} for n in range(5)]
    model.extend([row["item_id"] for row in new], new)
    assert not model.embedder.item_table[-5:].any()


def test_missing_and_needless_features_are_refused():
    items = Vocabulary(["a", "b"])
    with pytest.raises(UsageError, match="reads item features, and none are given"):
        SequenceModel.build("gru4rec", SETTINGS, items)
    with pytest.raises(UsageError, match="'item' reads no item features"):
        SequenceModel.build("gru4rec", {}, items, example_features(2))


@pytest.mark.parametrize("architecture", ["sasrec", "gru4rec", "mamba4rec"])
def test_the_kit_passes(architecture):
    embedder = "item-features-position" if architecture == "sasrec" else "item-features"
    check_model(small_model(architecture, embedder=embedder))
