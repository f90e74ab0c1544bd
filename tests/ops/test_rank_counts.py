"""Counts of higher and equal scores against plain loops, in each backend."""

import pytest
import torch

from seqzoo.ops.native.rank_counts import native_rank_counts
from seqzoo.ops.rank_counts import rank_counts, torch_rank_counts

SIZES = [(1, 1, 0), (3, 17, 9), (65, 50, 400), (530, 2000, 3000)]
"""Rows, columns, pairs; the last are work for two threads."""


def example(rows, columns, pairs):
    """Scores with many equal ones, infinities and NaN; some pairs are there several times."""
    draw = torch.Generator().manual_seed(rows)
    scores = torch.randint(-9, 10, (rows, columns), generator=draw).float()
    scores[torch.rand(rows, columns, generator=draw) < 0.1] = float("nan")
    scores[torch.rand(rows, columns, generator=draw) < 0.1] = float("-inf")
    # Every third row's wanted score is not among the columns.
    own = torch.randint(0, columns, (rows,), generator=draw)
    own[::3] = -1
    wanted = torch.randint(-9, 10, (rows,), generator=draw).float()
    present = own >= 0
    scores[present, own[present]] = wanted[present]
    of_rows = torch.randint(0, rows, (pairs,), generator=draw)
    of_columns = torch.randint(0, columns, (pairs,), generator=draw)
    # Some pairs name the wanted score itself, which is never left out.
    of_columns[::7] = own[of_rows[::7]].clamp(min=0)
    rows_of_pairs = torch.cat([of_rows, of_rows[:5]])
    return scores, wanted, own, rows_of_pairs, torch.cat([of_columns, of_columns[:5]])


def plain(scores, wanted, own, rows, columns):
    """The same, row by row."""
    counts = torch.zeros(2, 2, len(scores), dtype=torch.int64)
    for row, (values, target) in enumerate(zip(scores, wanted, strict=True)):
        kept = torch.ones(len(values), dtype=torch.bool)
        kept[columns[rows == row]] = False
        if own[row] >= 0:
            kept[own[row]] = True
        for index, some in enumerate((values, values[kept])):
            counts[index, 0, row] = (some > target).sum()
            counts[index, 1, row] = (some == target).sum()
    return counts, scores.isnan().sum(1)


def check(function, size):
    scores, *others = example(*size)
    counts, nans = plain(scores, *others)
    found = function(scores.clone(), *others)
    assert torch.equal(found[0], counts)
    assert torch.equal(found[1], nans)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_against_plain_loops(backend, size, threads, with_threads, monkeypatch):
    monkeypatch.setenv("SEQZOO_BACKEND", backend)
    with_threads(threads)
    check(rank_counts, size)
    check({"torch": torch_rank_counts, "native": native_rank_counts}[backend], size)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_set_of_instructions(level, size):
    check(native_rank_counts, size)
