"""Ids found by their hashes, as in a vocabulary of millions, against a dictionary."""

import copy
import pickle
import subprocess
import sys

import pytest

from seqzoo.data.item_index import HashedIndices, item_indices
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError, UnknownItemError

IDS = tuple(f"item-{number * 7 % 1000}" for number in range(1000))


@pytest.fixture(autouse=True)
def large(monkeypatch):
    monkeypatch.setattr("seqzoo.data.item_index._LARGE", 3)


@pytest.fixture(params=["all hashes differ", "many are equal", "all are equal"])
def collisions(request, monkeypatch):
    functions = {"many are equal": len, "all are equal": lambda item: 5}
    if request.param in functions:
        monkeypatch.setattr("seqzoo.data.item_index.hash", functions[request.param], raising=False)


def test_every_id_has_its_index(collisions):
    found = item_indices(IDS)
    assert isinstance(found, HashedIndices)
    assert len(found) == 1000
    assert [found.get(item) for item in IDS] == list(range(1, 1001))
    assert "item-999" in found
    assert "item-1000" not in found
    assert found.get("item-") is None


def test_repeated_ids(collisions):
    assert len(item_indices(["a", "b", "a", "cc", "b", "a"])) == 3
    with pytest.raises(DataError, match="the item 'b' more than once"):
        Vocabulary(["a", "b", "c", "b", "a"])


@pytest.mark.parametrize("items", [["a", "b", "", "d"], ["a", "b", 3, "d"], ["a", "b", ["c"], "d"]])
def test_invalid_ids(items):
    with pytest.raises(DataError, match=r"item 3 is .*expected a non-empty string"):
        Vocabulary(items)


def test_a_vocabulary_works_as_with_a_dictionary():
    vocabulary = Vocabulary(IDS)
    assert vocabulary.index("item-7") == 2
    indices, unknown = vocabulary.encode(["item-0", "gone", "item-14", "item-7"])
    assert (indices.tolist(), unknown) == ([1, 3, 2], ["gone"])
    assert vocabulary.item(2) == "item-7"
    with pytest.raises(UnknownItemError, match="did you mean 'item-7'"):
        vocabulary.index("Item 7")
    assert copy.deepcopy(vocabulary).index("item-7") == 2


def test_another_process_has_other_hashes(tmp_path):
    """The hashes are computed again there."""
    path = tmp_path / "vocabulary"
    path.write_bytes(pickle.dumps(Vocabulary(IDS)))
    code = (
        "import pickle, sys; v = pickle.load(open(sys.argv[1], 'rb'));"
        "print(type(v._indices).__name__, sum(v.index(item) for item in v.items))"
    )
    for seed in "1", "2":
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert done.stdout.split() == ["HashedIndices", str(1000 * 1001 // 2)]
