"""Codes of ids and what is computed from them, against plain Python and numpy."""

import numpy as np
import polars as pl
import pytest

from seqzoo.data import counting
from seqzoo.data.codes import Encoder, renumbered
from seqzoo.data.counting import distinct_pairs, frequencies, rows_by_user


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(counting, "_BLOCK", 7)


@pytest.mark.parametrize("kind", [str, int])
def test_codes_are_in_order_of_first_appearance_over_all_chunks(kind):
    values = [kind(value) for value in np.random.default_rng(0).integers(0, 40, 100)]
    encoder = Encoder()
    found = [encoder.encode(pl.Series(values[at : at + 9])) for at in range(0, 100, 9)]
    order = list(dict.fromkeys(values))
    assert np.concatenate(found).tolist() == [order.index(value) for value in values]
    assert encoder.ids().to_list() == [str(value) for value in order]


def test_frequencies_and_distinct_pairs():
    random = np.random.default_rng(1)
    users, items = (random.integers(0, 9, 50).astype(np.int32) for _ in range(2))
    assert frequencies(users, 12).tolist() == np.bincount(users, minlength=12).tolist()
    assert distinct_pairs(users, items, 9) == len(set(zip(users.tolist(), items, strict=True)))
    assert distinct_pairs(users[:0], items[:0], 9) == 0


def test_selected_rows_are_renumbered_by_first_appearance():
    old = np.array([3, 1, 3, 0, 1, 3, 0, 5, 5, 1], np.int32)
    new, ids = renumbered(old, pl.Series(["a", "b", "c", "d", "e", "f"]))
    assert ids.to_list() == ["d", "b", "a", "f"]
    assert ids.gather(new).to_list() == list("dbdabdaffb")


@pytest.mark.parametrize(
    "order",
    [
        np.arange(300),
        np.random.default_rng(2).integers(-20, 20, 300),
        np.random.default_rng(2).integers(-(2**62), 2**62, 300),
        np.array([2**63 - 1, -(2**63)] * 150),
        np.random.default_rng(2).integers(0, 20, 300).astype(np.float32),
    ],
    ids=["sorted", "ties", "wide", "extreme", "float32"],
)
@pytest.mark.parametrize("with_fractions", [False, True])
def test_rows_by_user_agrees_with_lexsort(order, with_fractions):
    random = np.random.default_rng(3)
    users = random.integers(0, 30, 300).astype(np.int32)
    fractions = random.integers(0, 3, 300) / 4 if with_fractions else None
    keys = [order, users] if fractions is None else [fractions, order, users]
    assert rows_by_user(users, order, fractions).tolist() == np.lexsort(keys).tolist()
