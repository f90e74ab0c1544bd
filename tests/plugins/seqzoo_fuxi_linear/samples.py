"""Random histories with times and times of requests."""

import numpy as np
import torch

from seqzoo.interfaces import SequenceBatch

ITEMS = 30


def histories(lengths: list[int], seed: int = 0) -> SequenceBatch:
    """Some events at the same second, some days apart; requests between the events."""
    draw = np.random.default_rng(seed)
    width = max(lengths)
    items, times = (np.zeros((len(lengths), width), dtype=np.int64) for _ in range(2))
    asked = times.copy()
    for row, length in enumerate(lengths):
        items[row, :length] = draw.integers(1, ITEMS + 1, length)
        gaps = np.floor(10 ** draw.uniform(0, 5.5, length + 1)).astype(np.int64) - 1
        moments = 978_300_000 + gaps.cumsum()
        times[row, :length], asked[row, :length] = moments[:-1], moments[1:]
    return SequenceBatch(
        torch.from_numpy(items),
        torch.tensor(lengths),
        torch.from_numpy(times),
        torch.from_numpy(asked),
    )
