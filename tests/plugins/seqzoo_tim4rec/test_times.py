"""How the modes use timestamps, their capabilities, and that the kit finds wrong capabilities."""

from dataclasses import replace

import pytest
import seqzoo_tim4rec.backbone as backbone_module
import torch
from seqzoo_tim4rec.time_ssd import CausalTimeSsdBlock

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.testing import check_model
from seqzoo.testing.conformance import CHECKS, ConformanceError, check_causality

MODES = ("off", "causal", "reference")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layers", [1, 2])
def test_conformance(mode, layers, small):
    check_model(small(mode, num_layers=layers))


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("tim4rec", {}),
        ("tim4rec", {"time_mode": "off"}),
        ("tim4rec", {"time_mode": "reference", "p2p_residual": True}),
        ("ssd4rec", {}),
    ],
)
def test_conformance_at_full_size(architecture, settings, make):
    check_model(make(architecture, hidden_size=64, max_length=50, **settings))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layers", [1, 2])
def test_conformance_where_times_matter(mode, layers, small, shake):
    """With initial weights steps hardly depend on timestamps, so weights are perturbed here."""
    model = shake(small(mode, num_layers=layers))
    for name, check in CHECKS.items():
        # These load the model again; a loaded one is float32, this one is not.
        if name not in ("new items", "round trip"):
            check(model)


@pytest.mark.parametrize(
    ("mode", "causal", "streaming", "uses_time", "longest"),
    [
        ("causal", True, True, True, None),
        ("reference", False, False, True, 20),
        ("off", True, True, False, None),
    ],
)
def test_claims_follow_the_mode(mode, causal, streaming, uses_time, longest, make):
    backbone = make("tim4rec", time_mode=mode).backbone
    assert (backbone.causal, backbone.streaming) == (causal, streaming)
    assert (backbone.uses_time, backbone.max_length) == (uses_time, longest)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_branch_that_looks_ahead_is_caught(layers, small, shake, monkeypatch):
    """The gap after an event instead of the gap before it."""
    model = shake(small("causal", num_layers=layers))
    check_causality(model)
    real = backbone_module.gaps
    monkeypatch.setattr(backbone_module, "gaps", lambda batch: real(batch).roll(-1, dims=1))
    with pytest.raises(ConformanceError, match="causality"):
        check_causality(model)


def test_a_norm_over_the_window_is_caught(small, shake, monkeypatch):
    model = shake(small("causal"))
    real = CausalTimeSsdBlock._smooth

    def normalised(self, values):
        values = real(self, values)
        return values - values.mean(1, keepdim=True)

    monkeypatch.setattr(CausalTimeSsdBlock, "_smooth", normalised)
    with pytest.raises(ConformanceError, match="causality"):
        check_causality(model)


def test_the_reference_is_not_causal_indeed(small, shake):
    """The kit would find causal=True to be wrong, at a length without the spike of padding."""
    model = shake(small("reference", max_length=12))
    check_causality(model)
    model.backbone.causal = True
    with pytest.raises(ConformanceError, match="causality"):
        check_causality(model)


@pytest.mark.parametrize("mode", ["causal", "reference"])
@torch.inference_mode()
def test_one_second_counts_at_any_date(mode, small, shake, histories):
    """Gaps of 0 s and 1 s differ, although float32 rounds current unix seconds to 128 s."""
    model = shake(small(mode)).float().eval()
    given = histories([20])
    still = torch.full((1, 20), 1_700_000_001)
    later = still + (torch.arange(20) >= 10)
    even, odd = (model.last(replace(given, timestamps=times)) for times in (still, later))
    assert (even - odd).abs().max() > 5e-6
    moved = model.last(replace(given, timestamps=later + 2**33))
    assert torch.equal(moved, odd)


@pytest.mark.parametrize("mode", MODES)
@torch.inference_mode()
def test_the_padding_of_times_has_no_meaning(mode, small, shake, histories):
    model = shake(small(mode)).eval()
    given = histories([20, 3, 11])
    garbage = given.timestamps.masked_fill(~given.mask, 1_234_567_890)
    changed = replace(given, timestamps=garbage)
    assert torch.equal(model.last(changed), model.last(given))
    assert torch.equal(model(changed)[given.mask], model(given)[given.mask])


@torch.inference_mode()
def test_time_that_runs_backwards_counts_as_no_gap(small, shake, histories):
    model = shake(small("causal")).eval()
    given = histories([20])
    backwards = given.timestamps.clone()
    backwards[:, 10:] = backwards[:, 9:10] - 500
    level = backwards.clone()
    level[:, 10:] = backwards[:, 9:10]
    one, other = (model.last(replace(given, timestamps=times)) for times in (backwards, level))
    assert torch.equal(one, other)


@torch.inference_mode()
def test_the_reference_refuses_more_than_its_weights_have(small, histories):
    model = small("reference", max_length=12)
    with pytest.raises(ConfigError, match="21 events is longer than max_length = 12"):
        model.backbone.last(torch.zeros(1, 21, 16), histories([21]))


@torch.inference_mode()
def test_only_the_reference_knows_the_window_by_its_weights(small, shake, histories):
    """The spike at the first padding is there unless the window is full."""
    model = shake(small("reference")).eval()
    given = histories([20])
    cut = SequenceBatch(given.items[:, :19], torch.tensor([19]), given.timestamps[:, :19])
    assert (model(given)[:, 18] - model.last(cut)).abs().max() > 1e-5


@pytest.mark.parametrize("mode", ["off", "causal"])
@torch.inference_mode()
def test_state_is_of_constant_size_and_never_changed(mode, small, shake, histories):
    model = shake(small(mode)).eval()
    given = histories([15, 15])
    state = model.backbone.initial_state(2)

    def tensors(value):
        if isinstance(value, torch.Tensor):
            return [value]
        values = value.values() if isinstance(value, dict) else value or ()
        return [tensor for part in values for tensor in tensors(part)]

    # Of 2 users and 2 layers: 3 inputs of 42 channels, 4 x 8 x 5 states, and 3 inputs of both
    # convolutions over 4 heads.
    expected = 2 * 2 * (3 * 42 + 160 + (24 if mode == "causal" else 0))
    for t in range(15):
        before = [tensor.clone() for tensor in tensors(state)]
        assert sum(tensor.numel() for tensor in before) == expected
        vectors, _ = model.embedder.step(given.items[:, t], None)
        elapsed = torch.tensor([t, 1000])
        first, new = model.backbone.step(vectors, state, elapsed)
        second, _ = model.backbone.step(vectors, state, elapsed)
        assert torch.equal(first, second)
        for tensor, copy in zip(tensors(state), before, strict=True):
            assert torch.equal(tensor, copy)
        state = new


@torch.inference_mode()
def test_steps_without_times_are_steps_without_gaps(small, shake):
    model = shake(small("causal")).eval()
    state = model.backbone.initial_state(3)
    vectors = torch.randn(3, 16, dtype=torch.float64, generator=torch.manual_seed(0))
    without, _ = model.backbone.step(vectors, state, None)
    zero, _ = model.backbone.step(vectors, state, torch.zeros(3, dtype=torch.int64))
    assert torch.equal(without, zero)


@pytest.mark.parametrize("mode", ["off", "causal"])
def test_session_agrees_with_encode(mode, small, tmp_path):
    model = small(mode)
    history, times = ["item-3", "item-7", "item-3", "item-1"], [978_300_000, 978_300_000, 10**9, 0]
    times[3] = times[2] + 86_400
    session = model.session()
    for item, time in zip(history[:2], times[:2], strict=True):
        session.observe(item, timestamp=time)
    session.save(tmp_path / "session")
    session = type(session).restore(model, tmp_path / "session")
    for item, time in zip(history[2:], times[2:], strict=True):
        session.observe(item, timestamp=time)
    expected = model.encode([history], timestamps=[times])[0]
    torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)


def test_the_reference_cannot_stream(small):
    model = small("reference")
    session = model.session()
    for item, time in (("item-3", 978_300_000), ("item-7", 978_400_000)):
        session.observe(item, timestamp=time)
    # It reads the history again for each recommendation.
    expected = model.encode([["item-3", "item-7"]], timestamps=[[978_300_000, 978_400_000]])[0]
    torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)
    with pytest.raises(NotImplementedError, match="time_mode='reference'"):
        model.backbone.initial_state(1)


@pytest.mark.parametrize("mode", MODES)
def test_mixed_precision(mode, small, histories):
    """bfloat16 has 8 significant bits; steps and states are float32."""
    model = small(mode).eval()
    given = histories([20, 3, 11])
    exact = model(given)[given.mask]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, last = model(given)[given.mask], model.last(given)
        model.head.loss(last, torch.tensor([1, 2, 3])).backward()
    assert (mixed - exact).abs().max() < 0.1
    assert (last - model(given)[torch.arange(3), given.lengths - 1]).abs().max() < 0.1
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
