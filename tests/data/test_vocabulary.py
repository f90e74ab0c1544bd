import json

import numpy as np
import pytest

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError, UnknownItemError, UsageError


@pytest.fixture
def films():
    return Vocabulary(["1", "260", "007"], ["Toy Story (1995)", None, "Bond"])


def test_indices_run_from_one(films):
    assert len(films) == 3
    assert [films.index(item) for item in films.items] == [1, 2, 3]
    assert [films.item(index) for index in (1, 2, 3)] == ["1", "260", "007"]
    assert films.label(1) == "Toy Story (1995)"
    assert films.label(2) is None
    assert Vocabulary(["a"]).label(1) is None
    assert "007" in films
    assert "7" not in films


def test_encode_sets_unknown_items_aside(films):
    known, unknown = films.encode(["007", "x", "1", "007", "7"])
    assert known.dtype == np.int32
    assert known.tolist() == [3, 1, 3]
    assert unknown == ["x", "7"]
    empty, _ = films.encode([])
    assert empty.shape == (0,)


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ("toy story (1995)", "did you mean '1'"),
        (" 260", "did you mean '260'"),
        ("7", "did you mean '007'"),
    ],
)
def test_unknown_item_shows_the_one_that_is_meant(films, item, hint):
    with pytest.raises(UnknownItemError, match=hint):
        films.index(item)


@pytest.mark.parametrize("item", ["261", "26", "2", "", "0", "--", "SKU-18", "sku17b"])
def test_similar_ids_of_other_items_are_not_suggested(item):
    with pytest.raises(UnknownItemError) as caught:
        Vocabulary(["1", "260", "007", "SKU-17"]).index(item)
    assert "did you mean" not in str(caught.value)
    assert Vocabulary(["SKU-17"]).suggestion("sku17") == "; did you mean 'SKU-17'?"


def test_numbers_are_not_ids(films):
    with pytest.raises(UsageError, match=r"item 1 is int; item ids are strings.*'1'"):
        films.encode([1])
    with pytest.raises(UsageError, match="expected a list of item ids"):
        films.encode("260")


@pytest.mark.parametrize("index", [0, 4, -1])
def test_index_outside(films, index):
    with pytest.raises(UsageError, match="expected 1 to 3"):
        films.item(index)
    with pytest.raises(UsageError, match="0 is padding"):
        films.label(index)


def test_json_round_trip(films):
    for vocabulary in (films, Vocabulary(["a", "b"])):
        document = json.loads(json.dumps(vocabulary.to_json()))
        assert Vocabulary(document["items"], document.get("labels")) == vocabulary
    assert "labels" not in Vocabulary(["a"]).to_json()


@pytest.mark.parametrize(
    ("items", "labels", "message"),
    [
        ([], None, "has no items"),
        (["a", 1], None, "item 2 is 1; expected a non-empty string"),
        (["a", ""], None, "item 2 is ''"),
        (["a", "b", "a"], None, "'a' more than once"),
        (["a"], [], "1 items but 0 labels"),
        (["a"], [3], "label 1 is 3; expected a string or null"),
    ],
)
def test_ids_and_labels_that_are_refused(items, labels, message):
    with pytest.raises(DataError, match=message):
        Vocabulary(items, labels)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2], "1 items and 2 counts"),
        ([-1], "the smallest -1; expected one count of 0 or more"),
        (["3"], "counts: .*expected whole numbers"),
        (3, "counts: .*expected whole numbers"),
    ],
)
def test_counts_that_are_refused(counts, message):
    with pytest.raises(DataError, match=message):
        Vocabulary(["a"], None, counts)
