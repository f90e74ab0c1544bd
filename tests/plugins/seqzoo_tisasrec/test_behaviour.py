"""Conformance, parameters, sessions, and mistakes of users."""

import random
from typing import ClassVar

import pytest
import torch

import seqzoo
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.plugins import catalogue
from seqzoo.testing import ArchitectureCases
from seqzoo.testing.conformance import check_model
from seqzoo.testing.run import small_model


class TestConformance(ArchitectureCases):
    architecture = "tisasrec"
    settings: ClassVar = {"num_heads": 2}


@pytest.mark.parametrize(
    "settings",
    [
        {"num_layers": 1, "unit": 3600, "max_interval": 8},
        {"scale": "train_median"},
        {"scale": "user_min", "num_heads": 4},
        {"position_order": "newest"},
        {"position_order": "newest", "mask_padded_keys": False},
        {"position_order": "newest", "mask_padded_keys": False, "scale": "user_min"},
        {"embedder": "item-features"},
    ],
    ids=str,
)
def test_other_settings_conform_too(settings):
    check_model(small_model("tisasrec", **settings))


def test_parameters():
    model = seqzoo.create("tisasrec", num_items=3416)
    layer = 5 * (64 * 64 + 64) + 4 * 64
    tables = 2 * 200 * 64 + 2 * 257 * 64
    assert model.num_parameters == 3417 * 64 + tables + 2 * layer + 2 * 64


def test_first_values(make):
    model = make("tisasrec", hidden_size=64, max_length=200)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            assert not value.any(), name
        elif "norm" in name:
            assert torch.equal(value, torch.ones_like(value)), name
        else:
            # Glorot's variance, which depends on the shape.
            std = (2 / sum(value.shape)) ** 0.5
            assert float(value.detach().std()) == pytest.approx(std, rel=0.1), name


def test_claims(make):
    spec = catalogue().backbones.get("tisasrec")
    assert (spec.causal, spec.streaming, spec.uses_time) == (True, True, True)
    for settings, causal, streaming in (
        ({}, True, True),
        ({"scale": "train_median"}, True, True),
        ({"scale": "user_min"}, False, False),
        ({"position_order": "newest"}, True, False),
    ):
        backbone = make("tisasrec", **settings).backbone
        assert (backbone.causal, backbone.streaming) == (causal, streaming), settings


@torch.inference_mode()
def test_states_grow_by_one_event_and_are_never_changed(make, shake, histories):
    model = shake(make("tisasrec")).eval()
    batch = histories([15, 15])
    state = model.backbone.initial_state(2)

    def tensors(state):
        return [state["seconds"], *(tensor for layer in state["layers"] for tensor in layer)]

    for t in range(15):
        shapes = [tuple(tensor.shape) for tensor in tensors(state)]
        assert shapes == [(2, t)] + 4 * [(2, t, 16)]
        before = [tensor.clone() for tensor in tensors(state)]
        vectors, _ = model.embedder.step(batch.items[:, t], None)
        elapsed = torch.tensor([t, 1000])
        first, new = model.backbone.step(vectors, state, elapsed)
        second, _ = model.backbone.step(vectors, state, elapsed)
        assert torch.equal(first, second)
        for tensor, copy in zip(tensors(state), before, strict=True):
            assert torch.equal(tensor, copy)
        state = new


@torch.inference_mode()
def test_steps_without_times_are_steps_without_gaps(make, shake):
    model = shake(make("tisasrec")).eval()
    state = model.backbone.initial_state(3)
    vectors = torch.randn(4, 3, 16, dtype=torch.float64, generator=torch.manual_seed(0))
    for step in vectors:
        without, new = model.backbone.step(step, state, None)
        zero, _ = model.backbone.step(step, state, torch.zeros(3, dtype=torch.int64))
        assert torch.equal(without, zero)
        state = new


@pytest.mark.parametrize(
    "settings", [{}, {"scale": "user_min"}, {"position_order": "newest"}], ids=str
)
def test_a_session_gives_what_the_whole_history_gives(make, settings, tmp_path):
    """Also beyond max_length, where the newest events are read again."""
    model = make("tisasrec", max_length=10, **settings).eval()
    session = model.session()
    history = [f"item-{1 + (7 * t) % 30}" for t in range(14)]
    times = [978_300_000 + 37 * t * t for t in range(14)]
    for t, (item, time) in enumerate(zip(history, times, strict=True), 1):
        session.observe(item, timestamp=time)
        if t == 7:
            session.save(tmp_path / "session")
            session = type(session).restore(model, tmp_path / "session")
        expected = model.encode([history[:t]], timestamps=[times[:t]])[0]
        torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)


def test_what_cannot_stream_says_so(make):
    for settings in ({"scale": "user_min"}, {"position_order": "newest"}):
        with pytest.raises(NotImplementedError, match="position_order='oldest'"):
            make("tisasrec", **settings).backbone.initial_state(1)


@torch.inference_mode()
def test_no_more_events_than_positions(make):
    model = make("tisasrec", max_length=5).eval()
    state = model.backbone.initial_state(1)
    vectors, _ = model.embedder.step(torch.tensor([1]), None)
    for _ in range(5):
        _, state = model.backbone.step(vectors, state, None)
    with pytest.raises(ConfigError, match="event 6 of a session is beyond max_length = 5"):
        model.backbone.step(vectors, state, None)
    batch = SequenceBatch(torch.ones(1, 6, dtype=torch.int64), torch.tensor([6]))
    for read in (model, model.last):
        with pytest.raises(ConfigError, match="a history of 6 events is longer than max_length"):
            read(batch)


def test_mixed_precision(make, histories):
    """bfloat16 has 8 significant bits."""
    model = make("tisasrec").eval()
    batch = histories([20, 3, 11])
    exact = model(batch)[batch.mask]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, last = model(batch)[batch.mask], model.last(batch)
        model.head.loss(last, torch.tensor([1, 2, 3])).backward()
    assert (mixed - exact).abs().max() < 0.1
    assert (last - model(batch)[torch.arange(3), batch.lengths - 1]).abs().max() < 0.1
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_memory_does_not_hold_a_vector_for_each_pair(make):
    """Peak of the tensors that autograd keeps: far below [B, L, L, D]."""
    model = make("tisasrec", hidden_size=64, max_length=100, max_interval=64)
    items = torch.randint(1, 31, (4, 100))
    times = torch.randint(0, 10_000, (4, 100)).cumsum(1)
    batch = SequenceBatch(items, torch.full((4,), 100), times)
    largest = 0

    def packed(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
        model(batch).sum().backward()
    assert 0 < largest <= 4 * 100 * 100


@pytest.mark.slow
def test_intervals_are_learned(tmp_path):
    """The gap before an event, of eight hours at most, decides which item comes next."""
    draw, rows = random.Random(0), []
    for user in range(150):
        time = previous = 0
        for _ in range(draw.randrange(4, 12)):
            gap = draw.randrange(8)
            time += 3600 * gap
            rows.append((f"u{user}", f"item-{previous}", time))
            previous = gap
    settings = {"hidden_size": 32, "max_length": 12, "unit": 3600}
    result = seqzoo.train(
        {
            "architecture": "tisasrec",
            "model": {**settings, "dropout": 0.0, "attention_dropout": 0.0},
            "data": {"source": rows},
            "train": {"epochs": 20, "batch_size": 4, "lr": 0.005, "baselines": False},
        },
        tmp_path / "run",
    )
    # Without the times nothing tells the next item: .29 by chance.
    assert result.metrics["loo-full"]["mrr@5"] > 0.6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "hidden_size is 16, which is not a multiple of num_heads = 3"),
        ({"scale": "user"}, "'scale' is 'user'.*expected one of: unit, train_median, user_min"),
        ({"position_order": "left"}, "expected one of: oldest, newest"),
        ({"mask_padded_keys": False}, "needs position_order='newest'"),
        ({"unit": 0}, "'unit' is 0"),
        ({"unit": 0.5}, "'model.unit' is 0.5; expected int"),
        ({"max_interval": 0}, "'max_interval' is 0"),
        ({"attention_dropout": 1.0}, "'attention_dropout' is 1"),
        ({"interval": 3}, "'model.interval'; did you mean 'model.max_interval'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("tisasrec", **settings)
