"""Units and intervals: integers, rounding, and what sets the unit."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from seqzoo_tisasrec.times import in_units, intervals, median_gap, smallest_gaps

import seqzoo
from seqzoo.interfaces import SequenceBatch
from seqzoo.testing.conformance import check_causality
from seqzoo.testing.errors import ConformanceError


@pytest.mark.parametrize("unit", [1, 2, 3, 7, 60, 86_400, 2**40])
def test_units_are_rounded_as_python_does(unit):
    seconds = [*range(200), *(unit * k // 2 for k in range(9)), 10**9, 2**53 + 1, 2**60 + 3]
    found = in_units(torch.tensor(seconds), unit)
    # A fraction is exact, where a quotient of floats is not.
    assert found.tolist() == [round(Fraction(second, unit)) + 1 for second in seconds]


def test_a_unit_for_each_history():
    found = in_units(torch.tensor([[0, 5, 30], [0, 5, 30]]), torch.tensor([[5], [10]]))
    assert found.tolist() == [[1, 2, 7], [1, 1, 4]]


def test_intervals_are_clipped_and_symmetric():
    times = torch.tensor([[1, 2, 9]])
    assert intervals(times, times, 5).tolist() == [[[0, 1, 5], [1, 0, 5], [5, 5, 0]]]
    # The padding of timestamps is 0, decades before the events.
    far = torch.tensor([[1, -(10**9)]])
    assert intervals(far, far, 5).tolist() == [[[0, 5], [5, 0]]]


def batch_of(*rows):
    return SequenceBatch.from_histories([[1] * len(row) for row in rows], rows)


def test_smallest_gaps():
    batch = batch_of([100, 100, 130, 150], [7], [5, 5], [0, 1_000_000], [3, 10, 12, 13])
    assert smallest_gaps(batch).tolist() == [[20], [1], [1], [1_000_000], [1]]


def test_the_median_leaves_out_padding_and_zeros():
    assert int(median_gap(batch_of([100, 100, 130, 150], [7], [5, 15]))) == 20
    assert int(median_gap(batch_of([100, 100], [7]))) == 0
    assert int(median_gap(SequenceBatch(torch.tensor([[1, 2]]), torch.tensor([2])))) == 0


@pytest.mark.parametrize("order", ["oldest", "newest"])
@torch.inference_mode()
def test_seconds_are_told_apart_in_this_century(order, make, shake, histories):
    """float32 would round unix seconds to multiples of 64 or 128."""
    model = shake(make("tisasrec", unit=1, position_order=order)).eval()
    batch = batch_of([1_700_000_000, 1_700_000_001, 1_700_000_003])
    moved = replace(batch, timestamps=batch.timestamps + torch.tensor([0, 0, 1]))
    later = replace(batch, timestamps=batch.timestamps + 2**33)
    assert (model.last(moved) - model.last(batch)).abs().max() > 1e-3
    assert torch.equal(model.last(later), model.last(batch))


@pytest.mark.parametrize(
    "settings",
    [{}, {"scale": "user_min"}, {"position_order": "newest", "mask_padded_keys": False}],
    ids=str,
)
@torch.inference_mode()
def test_the_padding_of_times_has_no_meaning(settings, make, shake, histories):
    model = shake(make("tisasrec", **settings)).eval()
    batch = histories([20, 3, 11])
    garbage = batch.timestamps.masked_fill(~batch.mask, 1_234_567_890)
    changed = replace(batch, timestamps=garbage)
    assert torch.equal(model.last(changed), model.last(batch))
    assert torch.equal(model(changed)[batch.mask], model(batch)[batch.mask])


def test_the_smallest_gap_is_that_of_the_whole_history(make):
    """As in the paper; it is the reason why such a model is not causal."""
    model = make("tisasrec", scale="user_min")
    assert not model.backbone.causal
    assert not model.backbone.streaming
    assert model.objective.newest_only
    model.backbone.causal = True
    with pytest.raises(ConformanceError, match="timestamps"):
        check_causality(model)


def test_the_median_of_the_first_training_batch_is_kept(make, tmp_path):
    model = make("tisasrec", scale="train_median")
    first, second = batch_of([0, 40, 40, 90]), batch_of([0, 7000])
    model.eval()(second)
    assert int(model.backbone.gap) == 0
    model.train()
    model(batch_of([5, 5], [3]))
    assert int(model.backbone.gap) == 0
    model(first)
    model(second)
    assert int(model.backbone.gap) == 40
    model.save_pretrained(tmp_path / "saved")
    again = seqzoo.load(tmp_path / "saved")
    assert int(again.backbone.gap) == 40
    fixed = make("tisasrec", scale="unit", unit=40)
    fixed.load_state_dict({k: v for k, v in model.state_dict().items() if k != "backbone.gap"})
    with torch.inference_mode():
        assert torch.equal(again.last(second), fixed.eval().last(second))


def test_training_finds_the_median(tmp_path):
    rows = [(f"u{u}", f"{(u + t) % 20}", 500 * t) for u in range(40) for t in range(12)]
    seqzoo.train(
        {
            "architecture": "tisasrec",
            "model": {"hidden_size": 16, "max_length": 12, "scale": "train_median"},
            "data": {"source": rows},
            "train": {"epochs": 1, "baselines": False},
        },
        tmp_path / "run",
    )
    assert int(seqzoo.load(tmp_path / "run").backbone.gap) == 500
