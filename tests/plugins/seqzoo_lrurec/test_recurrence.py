"""The recurrence itself, first values, precision, sessions and settings."""

import math

import pytest
import torch
from seqzoo_lrurec.recurrence import powers, recurrence
from seqzoo_lrurec.unit import LinearRecurrentUnit
from torch import Tensor

import seqzoo
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.ops import StepOperations


def operands(length: int, rows: int, channels: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(length)
    inputs = torch.randn(length, rows, channels, dtype=torch.complex128, generator=draw)
    radius = torch.rand(channels, dtype=torch.float64, generator=draw)
    angle = 7.0 * torch.rand(channels, dtype=torch.float64, generator=draw)
    return inputs, torch.polar(radius, angle)


def one_by_one(inputs: Tensor, decay: Tensor) -> Tensor:
    state, states = torch.zeros_like(inputs[0]), []
    for now in inputs:
        state = decay * state + now
        states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("length", [*range(1, 18), 24, 25, 26, 35, 36, 37, 200])
def test_states_and_gradients(length):
    inputs, decay = (each.requires_grad_() for each in operands(length, 3, 5))
    kept = inputs.detach().clone()
    found, expected = recurrence(inputs, decay), one_by_one(inputs, decay)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (inputs, decay), weights)
    torch.testing.assert_close(torch.autograd.grad(found, (inputs, decay), weights), wanted)
    assert torch.equal(inputs, kept)


def test_inputs_that_are_not_contiguous():
    inputs, decay = operands(21, 5, 4)
    swapped = inputs.transpose(0, 2).contiguous().transpose(0, 2)
    torch.testing.assert_close(recurrence(swapped, decay), recurrence(inputs, decay))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 200])
def test_powers(count):
    _, decay = operands(1, 1, 5)
    expected = torch.stack([decay**power for power in range(count)])
    torch.testing.assert_close(powers(decay, count), expected, rtol=1e-12, atol=1e-12)


@torch.inference_mode()
def test_float32_stays_near_float64_over_long_histories(make):
    """The slowest channel of fresh weights remembers for hundreds of events."""
    model = make("lrurec", max_length=3000).eval()
    items = torch.randint(1, 31, (2, 3000), generator=torch.manual_seed(0))
    batch = SequenceBatch(items, torch.tensor([3000, 1700]))
    found, last = model(batch), model.last(batch)
    expected = model.double()(batch)
    assert float((found - expected).abs().max()) < 1e-4
    assert float((last - batch.gather_last(expected)).abs().max()) < 1e-4


@pytest.mark.parametrize("half", ["autocast", "weights"])
def test_half_precision_keeps_the_recurrence_in_float32(half):
    torch.manual_seed(0)
    unit = LinearRecurrentUnit(12, 24, 0.8, 0.99)
    hidden = torch.randn(50, 3, 12)
    if half == "weights":
        unit, hidden = unit.bfloat16(), hidden.bfloat16()
    exact = LinearRecurrentUnit(12, 24, 0.8, 0.99)
    exact.load_state_dict(unit.state_dict())
    expected = exact(hidden.float())
    lengths = torch.tensor([50, 1, 7])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half == "autocast"):
        found, last = unit(hidden), unit.last(hidden, lengths)
        first, state = unit.write_step(StepOperations(), hidden[0], unit.initial_state(3))
    assert state.dtype == torch.float32
    newest = expected[lengths - 1, torch.arange(3)]
    scale = float(expected.detach().abs().max())
    for one, other in ((found, expected), (last, newest), (first, expected[0])):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, rtol=0, atol=0.02 * scale)
    found.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in unit.parameters())


def test_a_session_has_a_constant_state_and_forgets_nothing(make, tmp_path):
    model = make("lrurec", max_length=10).eval()
    history = [model.vocabulary.item(1 + (7 * t) % 30) for t in range(120)]
    session = model.session()
    for count, item in enumerate(history[:60], 1):
        session.observe(item)
        if count in (1, 2, 10):
            found, expected = session.recommend(k=5), model.recommend(history[:count], k=5)
            assert [each.item for each in found] == [each.item for each in expected]
    size = session.state_bytes
    session.save(tmp_path / "session")
    again = type(session).restore(model, tmp_path / "session")
    for item in history[60:]:
        again.observe(item)
    assert again.state_bytes == size
    items = torch.tensor([[model.vocabulary.index(item) for item in history]])
    with torch.inference_mode():
        whole = model.last(SequenceBatch(items, torch.tensor([120])))[0]
    torch.testing.assert_close(again.hidden, whole, rtol=1e-4, atol=1e-4)


def test_first_values_of_the_recurrence():
    torch.manual_seed(0)
    unit = LinearRecurrentUnit(16, 65_536, 0.8, 0.99)
    square = unit.decay().detach().abs() ** 2
    low, high = 0.8**2, 0.99**2
    assert low - 1e-5 <= float(square.min()) < low + 0.001
    assert high - 0.001 < float(square.max()) <= high + 1e-5
    # 4 standard deviations of the mean; with uniform radii it would be 0.006 higher.
    assert float(square.mean()) == pytest.approx((low + high) / 2, abs=0.0016)
    angle = unit.theta.detach().exp()
    assert 0.0 < float(angle.min()) < 0.01
    assert 2 * math.pi - 0.01 < float(angle.max()) <= 2 * math.pi + 1e-6
    gamma = unit.log_gamma.detach().exp()
    torch.testing.assert_close(gamma**2 + square, torch.ones_like(gamma))


def test_first_values_of_the_other_weights(make):
    model = make("lrurec", hidden_size=64)
    for name, value in model.backbone.named_parameters():
        value = value.detach()
        if "norm" in name:
            assert torch.equal(value, torch.full_like(value, float(name.endswith("weight")))), name
        elif "proj" in name or "ffn" in name:
            assert 0.0 < float(value.abs().max()) <= 0.04, name
            if value.ndim > 1:
                # A normal distribution cut off at two of its standard deviations keeps 0.88.
                assert float(value.std()) == pytest.approx(0.0176, rel=0.03), name


def test_states_stay_bounded_for_all_weights():
    unit = LinearRecurrentUnit(8, 32, 0.8, 0.99)
    with torch.no_grad():
        unit.nu.copy_(torch.linspace(-30.0, 5.0, 32))
    assert float(unit.decay().detach().abs().max()) <= 1.0


def test_names_shapes_and_count():
    model = seqzoo.create("lrurec", num_items=3_416)
    unit = {
        "nu": (128,),
        "theta": (128,),
        "log_gamma": (128,),
        "in_proj.weight": (256, 64),
        "in_proj.bias": (256,),
        "out_proj.weight": (64, 256),
        "out_proj.bias": (64,),
    }
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for layer in range(2):
        for name, shape in unit.items():
            assert found[f"backbone.layers.{layer}.lru.{name}"] == shape
    assert found["head.bias"] == (3_417,)
    assert not any(value.is_complex() for value in model.state_dict().values())
    block = (3 * 128 + 256 * 65 + 64 * 257) + 128 + (256 * 65 + 64 * 257) + 128
    assert model.num_parameters == 3_417 * 64 + 128 + 2 * block + 3_417


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "'num_layers' is 0; expected 1 or more"),
        ({"expand": 0}, "'expand' is 0"),
        ({"dropout": 1.0}, "'dropout' is 1.0"),
        ({"recurrent_dropout": -0.1}, "'recurrent_dropout' is -0.1"),
        ({"min_radius": 0.0}, "'min_radius' is 0.0"),
        ({"max_radius": 1.0}, "'max_radius' is 1.0"),
        ({"min_radius": 0.9, "max_radius": 0.8}, "'min_radius' is 0.9, which is above"),
        ({"max_radios": 0.9}, "did you mean 'model.max_radius'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("lrurec", **settings)


@pytest.mark.slow
def test_exported_it_gives_the_same(tmp_path):
    pytest.importorskip("onnxscript")
    model = seqzoo.create("lrurec", num_items=30, hidden_size=16).eval()
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming
    assert exported.max_difference <= 1e-5
