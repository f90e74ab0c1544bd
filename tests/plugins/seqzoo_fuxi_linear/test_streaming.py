"""FuXi-Linear event by event: what steps and answers give, and what sessions do with times."""

from dataclasses import replace

import pytest
import seqzoo_fuxi_linear.times as times_module
import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch
from tests.plugins.seqzoo_fuxi_linear.samples import histories

LENGTH = 18


@pytest.fixture(params=["next", "previous"])
def model(request, make, shake):
    return shake(
        make(
            "fuxi-linear",
            time=request.param,
            num_periods=4,
            first_period=3600.0,
            time_skip=True,
            learn_decay=True,
            chunk_size=5,
        )
    ).eval()


@pytest.fixture
def batch():
    return histories([LENGTH] * 3)


def tensors(state: object) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state
    return [tensor for part in parts for tensor in tensors(part)]


def steps(model, batch: SequenceBatch):
    """Vectors and states after each event."""
    embedder, state = None, model.backbone.initial_state(len(batch.items))
    for t in range(batch.items.shape[1]):
        vectors, embedder = model.embedder.step(batch.items[:, t], embedder)
        elapsed = batch.timestamps[:, t] - batch.timestamps[:, max(t - 1, 0)]
        before = [each.clone() for each in tensors(state)]
        hidden, new = model.backbone.step(vectors, state, elapsed)
        assert all(map(torch.equal, tensors(state), before))
        state = new
        yield t, hidden, state


@torch.inference_mode()
def test_answers_are_those_of_whole_histories(model, batch):
    whole = model(batch)
    waits = batch.query_times - batch.timestamps
    for t, hidden, state in steps(model, batch):
        if model.backbone.uses_query_time:
            before = [each.clone() for each in tensors(state)]
            for _ in range(2):
                found = model.backbone.answer(state, waits[:, t])
                torch.testing.assert_close(found, whole[:, t], rtol=1e-9, atol=1e-9)
            assert all(map(torch.equal, tensors(state), before))
            zero = torch.zeros(3, dtype=torch.int64)
            assert torch.equal(hidden, model.backbone.answer(state, zero))
            # A request before the newest event is one at its time.
            assert torch.equal(hidden, model.backbone.answer(state, zero - 1000))
        else:
            torch.testing.assert_close(hidden, whole[:, t], rtol=1e-9, atol=1e-9)


@torch.inference_mode()
def test_a_step_answers_for_its_own_time(model, batch):
    for t, hidden, _ in steps(model, batch):
        end = slice(t + 1)
        asked = batch.timestamps.roll(-1, 1)[:, end].clone()
        asked[:, t] = batch.timestamps[:, t]
        known = replace(
            batch,
            items=batch.items[:, end],
            lengths=torch.full((3,), t + 1),
            timestamps=batch.timestamps[:, end],
            query_times=asked,
        )
        torch.testing.assert_close(hidden, model.last(known), rtol=1e-9, atol=1e-9)


@torch.inference_mode()
def test_the_state_has_a_constant_size_and_the_users_first(model, batch):
    sizes = set()
    for _, _, state in steps(model, batch):
        assert all(len(each) == 3 for each in tensors(state))
        sizes.add(tuple(each.shape for each in tensors(state)))
    assert len(sizes) == 1


@torch.inference_mode()
def test_without_times_every_gap_is_zero(model, batch):
    vectors, _ = model.embedder.step(batch.items[:, 0], None)
    state = model.backbone.initial_state(3)
    one, _ = model.backbone.step(vectors, state, None)
    other, _ = model.backbone.step(vectors, state, torch.zeros(3, dtype=torch.int64))
    assert torch.equal(one, other)


@torch.inference_mode()
def test_time_that_runs_backwards_stands_still(model, batch):
    times = batch.timestamps.clone()
    times[:, 9] -= 10**7
    level = batch.timestamps.clone()
    level[:, 9] = level[:, 8]
    query = batch.query_times.clone()
    query[:, 8] = batch.timestamps[:, 8]
    backwards = replace(batch, timestamps=times, query_times=query - 0)
    assert torch.equal(model(backwards), model(replace(batch, timestamps=level, query_times=query)))


@torch.inference_mode()
def test_one_second_counts_at_any_date(make):
    """float32 would round the unix seconds of today to 128 s."""
    model = make("fuxi-linear", first_period=8.0).eval()
    batch = histories([LENGTH])
    still = torch.full_like(batch.items, 1_700_000_001)
    later = still + (torch.arange(LENGTH) >= 10)
    one = model.last(replace(batch, timestamps=still, query_times=still))
    other = model.last(replace(batch, timestamps=later, query_times=later))
    assert float((one - other).abs().max()) > 1e-6
    far = later + 2**33
    assert torch.equal(model.last(replace(batch, timestamps=far, query_times=far)), other)


@torch.inference_mode()
def test_a_short_period_keeps_its_angle_after_years(make, shake, monkeypatch):
    """Where nothing fades, whole periods more before the last events change nothing."""
    monkeypatch.setattr(times_module, "_FADED", 0.0)
    model = shake(make("fuxi-linear", first_period=7.0, period_ratio=1.0, num_periods=2)).eval()
    model.float()
    near = histories([LENGTH])

    def after(seconds):
        times = near.timestamps + (torch.arange(LENGTH) >= 15) * seconds
        asked = torch.cat([times[:, 1:], times[:, -1:] + 5], 1)
        batch = replace(near, timestamps=times, query_times=asked)
        return torch.cat([model(batch)[0], model.last(batch)])

    far = after(7 * 142_857_143)
    assert float((far - after(0)).abs().max()) < 1e-4
    assert float((far - after(3)).abs().max()) > 1e-2


@pytest.mark.parametrize("time", ["next", "previous"])
def test_sessions_give_what_histories_give(make, time):
    model = make("fuxi-linear", time=time).eval()
    batch = histories([12])
    history = [model.vocabulary.item(index) for index in batch.items[0].tolist()]
    times = batch.timestamps[0].tolist()
    session = model.session()
    for count, (item, moment) in enumerate(zip(history, times, strict=True), 1):
        session.observe(item, moment)
        expected = model.encode([history[:count]], timestamps=[times[:count]])[0]
        torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)
    later = times[-1] + 50_000
    best = session.recommend(k=5, at=later)
    (expected,) = model.recommend_many([history], 5, timestamps=[times], at=[later])
    assert [each.item for each in best] == [each.item for each in expected]
    for one, other in zip(best, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_a_session_beyond_the_positions_reads_its_window(make):
    model = make("fuxi-linear", max_length=6, time="previous").eval()
    session = model.session()
    history = [f"item-{1 + index % 30}" for index in range(15)]
    times = [10**9 + 1000 * index for index in range(15)]
    for item, moment in zip(history, times, strict=True):
        session.observe(item, moment)
    expected = model.encode([history], timestamps=[times])[0]
    torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)
