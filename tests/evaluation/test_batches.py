"""Evaluation batches hold exactly each user's window, target and seen items."""

import numpy as np
import pytest
import torch

from seqzoo.data import padding
from seqzoo.data.batches import evaluation_batches
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import LeaveOneOut

CPU = torch.device("cpu")
LENGTHS = [3, 1, 12, 4, 2, 7, 8, 9, 30, 5, 3]


@pytest.fixture
def sequences():
    draw = np.random.default_rng(0)
    total = sum(LENGTHS)
    return Sequences(
        items=draw.integers(1, 9, total).astype(np.int32),
        timestamps=np.arange(total, dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64),
    )


@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize(("part", "held_out"), [("test", 1), ("valid", 2)])
@pytest.mark.parametrize("window", [1, 6, 50])
def test_window_target_and_seen(sequences, batch_size, part, held_out, window):
    users = [user for user, length in enumerate(LENGTHS) if length >= 3]
    split = LeaveOneOut().part(sequences, part)
    found = {}
    for rows, batch in evaluation_batches(sequences, split, window, batch_size, CPU):
        assert len(rows) <= batch_size
        assert batch.histories.items.shape[1] == batch.histories.lengths.max() <= window
        for place, row in enumerate(rows):
            length = int(batch.histories.lengths[place])
            seen = batch.seen[1][batch.seen[0] == place].tolist()
            found[int(row)] = (
                batch.histories.items[place, :length].tolist(),
                batch.histories.timestamps[place, :length].tolist(),
                int(batch.targets[place]),
                seen,
            )
            assert not batch.histories.items[place, length:].any()
    assert len(found) == len(users) == len(split)
    for row, user in enumerate(users):
        start, end = sequences.offsets[user], sequences.offsets[user + 1] - held_out
        history = sequences.items[start:end].tolist()
        assert found[row] == (
            history[-window:],
            list(range(start, end))[-window:],
            int(sequences.items[end]),
            history,
        )


def test_little_is_padded(sequences):
    split = LeaveOneOut().part(sequences, "test")
    widths = [
        batch.histories.items.shape[1]
        for _, batch in evaluation_batches(sequences, split, 50, 2, CPU)
    ]
    assert widths == sorted(widths)


def test_long_histories_come_in_small_batches_on_a_cpu(sequences, monkeypatch):
    monkeypatch.setattr(padding, "CACHED_POSITIONS", 20)
    split = LeaveOneOut().part(sequences, "test")

    def shapes(device):
        batches = evaluation_batches(sequences, split, 50, 4, torch.device(device))
        return [tuple(batch.histories.items.shape) for _, batch in batches]

    assert shapes("cpu") == [(4, 4), (2, 7), (1, 8), (1, 11), (1, 29)]
    assert shapes("meta") == [(4, 4), (4, 11), (1, 29)]
