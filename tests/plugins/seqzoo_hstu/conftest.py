"""Histories with times, for the tests of HSTU."""

import pytest
import torch

from seqzoo.interfaces import SequenceBatch

LENGTHS = torch.tensor([11, 1, 2, 7])


def timed_batch(width=11, lengths=LENGTHS, seed=1):
    """Gaps from no seconds to months; the request comes some time after the newest event."""
    draw = torch.manual_seed(seed)
    shape = (len(lengths), width)
    inside = torch.arange(width) < lengths[:, None]
    items = torch.randint(1, 31, shape, generator=draw)
    gaps = (torch.rand(shape, generator=draw) * 16).exp().long() - 1
    times = 1_000_000_000 + gaps.cumsum(1)
    waits = (torch.rand(len(lengths), generator=draw) * 16).exp().long()
    queries = times.roll(-1, 1)
    newest = torch.arange(width) == lengths[:, None] - 1
    queries = torch.where(newest, times + waits[:, None], queries)
    return SequenceBatch(items * inside, lengths, times * inside, queries * inside)


@pytest.fixture
def timed():
    """``timed(width, lengths)``: a batch."""
    return timed_batch


@pytest.fixture
def batch():
    return timed_batch()
