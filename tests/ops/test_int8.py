"""The scan of quantised vectors in each backend, for one user and for many."""

from itertools import pairwise

import pytest
import torch

import seqzoo
from seqzoo.ops import backends
from seqzoo.ops.int8 import TorchInt8Table, rounded_items, rounded_users
from seqzoo.ops.native.int8 import NativeInt8Table
from seqzoo.parts.int8_index import Int8Index

ITEMS, WIDTH, K = 40_000, 22, 10
"""Items for two threads, and a width that is no multiple of four."""
USERS = [1, 65]
"""The compiled kernel takes 64 at a time."""
TABLES = {"torch": TorchInt8Table, "native": NativeInt8Table}


@pytest.fixture(scope="module")
def vectors():
    """Vectors of items and users."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(ITEMS, WIDTH, generator=draw), torch.randn(65, WIDTH, generator=draw)


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    monkeypatch.setattr("seqzoo.ops.int8._BLOCK", 7000)


def scores_and_excluded(vectors, users):
    """Exact scores, and some of the best items of each user, which are left out."""
    items, hidden = vectors[0].double(), vectors[1][:users].double()
    scores = hidden @ items.T
    best = scores.topk(K).indices
    return scores, [row[: (user + 3) % 5] for user, row in enumerate(best)]


def check(make, vectors, users):
    """All best items are found with bounds of their scores, and few others."""
    scores, excluded = scores_and_excluded(vectors, users)
    found = make(rounded_items(vectors[0])).candidates(
        rounded_users(vectors[1][:users]), K, excluded
    )
    assert len(found) == users
    for of_user, exact, gone in zip(found, scores, excluded, strict=True):
        items = of_user.items
        assert bool((items[1:] > items[:-1]).all())
        assert not bool(torch.isin(gone, items).any())
        assert bool((of_user.lower <= exact[items]).all())
        assert bool((exact[items] <= of_user.upper).all())
        left = exact.clone()
        left[gone] = -torch.inf
        assert bool(torch.isin(left.topk(K).indices, items).all())
        assert bool((of_user.upper >= of_user.lower.topk(K).values[-1]).all())
        assert len(items) < ITEMS / 10


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("users", USERS)
def test_what_may_belong_to_the_best(backend, users, threads, vectors, with_threads):
    with_threads(threads)
    check(TABLES[backend], vectors, users)


@pytest.mark.parametrize("users", USERS)
def test_every_set_of_instructions(level, users, vectors):
    check(NativeInt8Table, vectors, users)


@pytest.mark.usefixtures("native")
def test_a_user_gets_the_same_bits_among_any_others_at_any_number_of_threads(vectors, with_threads):
    _, excluded = scores_and_excluded(vectors, 65)
    table, runs = NativeInt8Table(rounded_items(vectors[0])), []
    for threads in (1, 1, 2, 3):
        with_threads(threads)
        runs.append(table.candidates(rounded_users(vectors[1]), K, excluded))
    runs.append(
        [
            table.candidates(rounded_users(vectors[1][user : user + 1]), K, [gone])[0]
            for user, gone in enumerate(excluded)
        ]
    )
    for one, other in pairwise(runs):
        for a, b in zip(one, other, strict=True):
            assert all(map(torch.equal, a, b))


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return seqzoo.create("sasrec", num_items=ITEMS, hidden_size=WIDTH).eval().head


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("users", USERS)
def test_an_index_finds_what_its_head_finds(
    backend, users, threads, head, vectors, with_threads, monkeypatch
):
    monkeypatch.setenv(backends.VARIABLE, backend)
    with_threads(threads)
    hidden = vectors[1][:users]
    with torch.inference_mode():
        gone = head.topk(hidden, 3)[1]
        exclude = (torch.arange(users).repeat_interleave(3), gone.flatten())
        scores, _ = head.topk(hidden, K, exclude)
        found, items = Int8Index(head).topk(hidden, K, exclude)
        every = head(hidden)
    torch.testing.assert_close(found, scores, rtol=1e-5, atol=1e-6)
    # Items may change places only where their scores are equal within rounding.
    torch.testing.assert_close(every.gather(1, items), scores, rtol=1e-5, atol=1e-6)
    for row, own in zip(items.tolist(), gone.tolist(), strict=True):
        assert len(set(row) - set(own) - {0}) == K
