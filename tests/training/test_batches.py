"""Windows and batches: every interaction but each user's first is a target once in an epoch."""

from collections import Counter

import numpy as np
import pytest

from seqzoo.data.batches import training_batch, training_batches, training_windows
from seqzoo.data.build import build_sequences
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import LeaveOneOut
from seqzoo.data.synthetic import synthetic

WINDOW = 10
# All lengths around the window's size and its multiples, the held-out two included.
LENGTHS = [1, 2, 3, 4, 5, *range(9, 16), *range(19, 26), 52, 53, 54, 103]


def flat(lengths, times=True):
    """Items 1, 2, 3 … over all users: an item says which interaction it is."""
    total = sum(lengths)
    return Sequences(
        items=np.arange(1, total + 1, dtype=np.int32),
        timestamps=np.arange(total, dtype=np.int64) * 60 if times else None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def epoch(
    sequences, *, seed=0, shift=True, every_position=True, positions=40, window=WINDOW, context=0
):
    generator = np.random.default_rng(seed)
    split = LeaveOneOut().part(sequences, "train")
    windows = training_windows(split, window, generator, shift, context)
    return [
        training_batch(sequences, rows, every_position)
        for rows in training_batches(
            windows,
            positions_per_batch=positions,
            generator=generator,
            every_position=every_position,
        )
    ]


def expected_targets(sequences):
    targets = []
    for user in range(len(sequences)):
        items = sequences[user].tolist()
        targets += items[1:-2] if len(items) >= 3 else items[1:]
    return Counter(targets)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("context", [0, 1, 5, WINDOW - 1])
@pytest.mark.parametrize("seed", range(5))
def test_every_training_interaction_is_a_target_once(shift, context, seed):
    sequences = flat(LENGTHS)
    found = Counter()
    for batch in epoch(sequences, seed=seed, shift=shift, context=context):
        found.update(batch.targets[batch.targets > 0].tolist())
    assert found == expected_targets(sequences)
    assert set(found.values()) == {1}


@pytest.mark.parametrize("shift", [False, True])
def test_histories_and_targets_belong_together(shift):
    """Consecutive events of one user, the target the event after, at most a window of them."""
    sequences = flat(LENGTHS)
    firsts = set((sequences.offsets[:-1] + 1).tolist())
    for batch in epoch(sequences, shift=shift):
        histories = batch.histories
        assert histories.items.shape == batch.targets.shape == histories.timestamps.shape
        assert histories.items.shape[1] == histories.lengths.max() <= WINDOW
        inside = histories.mask
        assert ((histories.items > 0) == inside).all()
        assert (batch.targets[inside] == histories.items[inside] + 1).all()
        assert not batch.targets[~inside].any()
        assert (histories.timestamps[inside] == (histories.items[inside] - 1) * 60).all()
        # Nobody's first interaction is predicted from somebody else's last.
        assert not firsts & set(batch.targets[inside].tolist())
    untimed = epoch(flat(LENGTHS, times=False), shift=shift)
    assert all(batch.histories.timestamps is None for batch in untimed)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("every_position", [False, True])
@pytest.mark.parametrize("context", [1, 5, WINDOW - 1])
def test_context_precedes_every_target(shift, every_position, context):
    """At least as many events before a target as asked for, or all that the user has."""
    sequences = flat(LENGTHS)
    batches = epoch(sequences, shift=shift, every_position=every_position, context=context)
    least = WINDOW
    for batch in batches:
        assert batch.histories.items.shape[1] <= WINDOW
        rows, places = np.nonzero(batch.targets.numpy())
        starts = batch.histories.items.numpy()[:, 0] - 1
        users = np.searchsorted(sequences.offsets, starts, side="right") - 1
        whole = starts[rows] == sequences.offsets[users[rows]]
        # The event at a target's place is the newest of what is read before it.
        assert (whole | (places >= context)).all()
        least = min([least, *places[~whole].tolist()])
    if every_position:
        assert least == context


def cuts(sequences, seed, shift):
    return {
        int(row[0])
        for batch in epoch(sequences, seed=seed, shift=shift)
        for row in batch.histories.items
    }


def test_shift_moves_the_cuts_of_long_histories_only():
    long, short = flat([103] * 3), flat([WINDOW + 3] * 30)
    assert cuts(long, 0, False) == cuts(long, 1, False)
    assert cuts(long, 0, True) != cuts(long, 1, True)
    assert cuts(short, 0, True) == cuts(short, 1, True) == cuts(short, 0, False)
    # Uncut, a long history is cut from its newest end: the last window is full.
    last = max(
        (batch for batch in epoch(long, shift=False)), key=lambda batch: int(batch.targets.max())
    )
    row = int(last.targets.max(1).values.argmax())
    assert last.histories.lengths[row] == WINDOW


def test_every_place_is_a_cut_some_day():
    """100 inputs in windows of 10: after many epochs each of them has begun a window."""
    sequences = flat([103])
    found = set()
    for seed in range(300):
        found |= cuts(sequences, seed, True)
    assert found == set(range(1, 101))


@pytest.mark.parametrize("every_position", [False, True])
def test_batches_hold_no_more_than_is_allowed(every_position):
    sequences = build_sequences(synthetic(users=300, items=50)).sequences
    for positions in (40, 400):
        batches = epoch(sequences, positions=positions, every_position=every_position)
        sizes = [batch.targets.numel() for batch in batches]
        assert max(sizes) <= positions
        assert np.mean(sizes) > 0.8 * positions


def test_a_window_larger_than_a_batch_is_a_batch_of_its_own():
    for batch in epoch(flat([60, 60]), positions=5, window=50):
        assert batch.targets.shape[0] == 1


def test_little_is_padded():
    """Histories of 5 to 200 events and more; unsorted, three quarters would be padding."""
    sequences = build_sequences(synthetic(users=3000, items=100, mean_length=40)).sequences
    batches = epoch(sequences, window=200, positions=16 * 200)
    real = sum(int(batch.histories.lengths.sum()) for batch in batches)
    places = sum(batch.targets.numel() for batch in batches)
    assert real == int((sequences.lengths - 3).sum())
    assert 1 - real / places < 0.1


def test_seeds_shuffle_users_and_batches():
    sequences = build_sequences(synthetic(users=300, items=50)).sequences

    def order(seed):
        return [batch.histories.items.tolist() for batch in epoch(sequences, seed=seed)]

    assert order(0) == order(0)
    assert order(0) != order(1)
    lengths = [batch.targets.shape[1] for batch in epoch(sequences, positions=200)]
    assert lengths != sorted(lengths)


def test_prefixes_for_backbones_that_are_not_causal():
    """One target a window, after a random prefix of it that is never empty and may be all of it."""
    sequences = flat(LENGTHS)
    windows = sum(len(batch.targets) for batch in epoch(sequences, shift=False))
    seen = Counter()
    for seed in range(200):
        batches = epoch(sequences, seed=seed, shift=False, every_position=False)
        assert sum(len(batch.targets) for batch in batches) == windows
        for batch in batches:
            lengths = batch.histories.lengths
            assert ((batch.targets > 0).sum(1) == 1).all()
            rows = np.arange(len(lengths))
            newest = batch.histories.items[rows, lengths - 1]
            assert (batch.targets[rows, lengths - 1] == newest + 1).all()
            seen.update(batch.targets.max(1).values.tolist())
    # Over the epochs every training interaction becomes a target.
    assert set(seen) == set(expected_targets(sequences))


def test_prefix_lengths_are_uniform():
    sequences = flat([WINDOW + 3] * 200)
    found = Counter()
    for seed in range(20):
        for batch in epoch(sequences, seed=seed, every_position=False):
            found.update(batch.histories.lengths.tolist())
    assert set(found) == set(range(1, WINDOW + 1))
    # 400 expected of each, with a standard deviation of 19.
    assert all(abs(count - 400) < 100 for count in found.values())
