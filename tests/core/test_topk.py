"""The best of blocks against a full, stable sort."""

import pytest
import torch

from seqzoo.topk import Pairs, top_of_blocks


def blocks_of(scores, size):
    for start in range(0, scores.shape[1], size):
        yield start, scores[:, start : start + size].clone()


def plain(scores, k, exclude=()):
    scores = scores.clone()
    for row, column in exclude:
        scores[row, column] = -torch.inf
    values, columns = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :k], columns[:, :k]


@pytest.mark.parametrize("size", [1, 3, 10, 64, 100])
@pytest.mark.parametrize("k", [1, 5, 60, 100])
@pytest.mark.parametrize("steps", [1000, 3, 0])
def test_equal_to_a_stable_sort(size, k, steps):
    """Of tied scores the first ones, however the columns are cut into blocks."""
    generator = torch.Generator().manual_seed(k + size)
    scores = torch.randint(0, steps + 1, (7, 100), generator=generator).double()
    excluded = [(0, 0), (0, 99), (3, 50), (3, 50), *((6, column) for column in range(97))]
    pairs = Pairs(*torch.tensor(excluded).T)
    values, columns = top_of_blocks(blocks_of(scores, size), k, pairs)
    expected_values, expected_columns = plain(scores, k, excluded)
    assert torch.equal(values, expected_values)
    real = values > -torch.inf
    assert torch.equal(columns[real], expected_columns[real])
    assert real[6].sum() == min(k, 3)


@pytest.mark.parametrize("where", [0, 55, 99])
def test_nan_is_never_overlooked(where):
    scores = torch.rand(4, 100, generator=torch.Generator().manual_seed(1))
    scores[2, where] = torch.nan
    scores[3, :] = torch.inf
    values, columns = top_of_blocks(blocks_of(scores, 10), 5)
    assert values.isnan().any(1).tolist() == [False, False, True, False]
    assert columns[2, 0] == where
    assert columns[3].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(values[:2], plain(scores, 5)[0][:2])


def test_nan_beside_ties():
    scores = torch.tensor([[1.0, torch.nan, 1.0, 1.0, torch.nan, 0.0]])
    values, columns = top_of_blocks(blocks_of(scores, 6), 4)
    assert values[0, :2].isnan().all()
    assert columns[0, 2:].tolist() == [0, 2]


def test_pairs_of_a_block():
    pairs = Pairs(torch.tensor([2, 0, 1, 1]), torch.tensor([9, 4, 5, 4]))
    rows, columns = pairs.within(4, 6)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1)]
    assert not len(pairs.within(6, 9)[0])
