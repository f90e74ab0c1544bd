"""LRURec against its equations, one event at a time in complex128, and seqzoo's conformance kit."""

import math
import subprocess
import sys

import pytest
import torch
from seqzoo_lru.lru import LinearRecurrentUnit, linear_scan, linear_scan_last
from torch import Tensor, nn

import seqzoo
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.testing import check_model

ITEMS = 30
Parameters = dict[str, Tensor]


def make(seed: int = 0, **settings: object) -> seqzoo.SequenceModel:
    torch.manual_seed(seed)
    return seqzoo.create(
        "lru", num_items=ITEMS, **{"hidden_size": 12, "max_length": 20, **settings}
    )


def shaken(module: nn.Module) -> nn.Module:
    """In float64, every parameter moved by N(0, 0.2^2): no zero and no one hides a mistake."""
    draw = torch.Generator().manual_seed(0)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return module


def histories(rows: int, length: int) -> SequenceBatch:
    """Ragged; the first one is whole."""
    draw = torch.Generator().manual_seed(1000 * rows + length)
    lengths = torch.randint(1, length + 1, (rows,), generator=draw)
    lengths[0] = length
    items = torch.randint(1, ITEMS + 1, (rows, length), generator=draw)
    return SequenceBatch(items.masked_fill(torch.arange(length) >= lengths[:, None], 0), lengths)


def random_scan(rows: int, length: int, channels: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(length)
    inputs = torch.randn(rows, length, channels, dtype=torch.complex128, generator=draw)
    radius = torch.rand(channels, dtype=torch.float64, generator=draw)
    angle = 7.0 * torch.rand(channels, dtype=torch.float64, generator=draw)
    return inputs, torch.polar(radius, angle)


# The equations, with weights as complex numbers.


def gelu(values: Tensor) -> Tensor:
    return 0.5 * values * (1.0 + torch.erf(values / math.sqrt(2.0)))


def norm(values: Tensor, p: Parameters, name: str) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    variance = (centred**2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * p[name + ".weight"] + p[name + ".bias"]


def recurrent_unit(inputs: Tensor, p: Parameters, name: str) -> Tensor:
    """[B, L, D] -> [B, L, D], one position after the other."""
    w_in = p[name + "in_proj.weight"][0::2] + 1j * p[name + "in_proj.weight"][1::2]
    b_in = p[name + "in_proj.bias"][0::2] + 1j * p[name + "in_proj.bias"][1::2]
    w_out = p[name + "out_proj.weight"][:, 0::2] - 1j * p[name + "out_proj.weight"][:, 1::2]
    decay = torch.exp(-torch.exp(p[name + "nu"]) + 1j * torch.exp(p[name + "theta"]))
    gamma = torch.exp(p[name + "log_gamma"])
    state = torch.zeros(len(inputs), len(decay), dtype=torch.complex128)
    outputs = []
    for t in range(inputs.shape[1]):
        state = decay * state + gamma * (inputs[:, t].to(torch.complex128) @ w_in.T + b_in)
        outputs.append((state @ w_out.T).real + p[name + "out_proj.bias"])
    return torch.stack(outputs, dim=1)


def reference(items: Tensor, p: Parameters, layers: int, drop=lambda values: values) -> Tensor:
    """Hidden vectors of every position [B, L, D]."""
    hidden = norm(drop(p["embedder.item_table"][items]), p, "embedder.norm")
    for layer in range(layers):
        block = f"backbone.layers.{layer}."
        mixed = drop(recurrent_unit(hidden, p, block + "lru."))
        hidden = norm(mixed + hidden, p, block + "norm")
        inner = gelu(hidden @ p[block + "ffn.w_1.weight"].T + p[block + "ffn.w_1.bias"])
        outer = drop(inner) @ p[block + "ffn.w_2.weight"].T + p[block + "ffn.w_2.bias"]
        hidden = norm(drop(outer) + hidden, p, block + "ffn.norm")
    return hidden


def copies(module: nn.Module) -> Parameters:
    named = module.named_parameters()
    return {name: value.detach().clone().requires_grad_() for name, value in named}


def compare(expected: Tensor, got: Tensor, theirs: Parameters, ours: Parameters) -> None:
    """Values, and the gradients of every parameter of ``ours``."""
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    weights = torch.cos(torch.arange(got.numel(), dtype=got.dtype)).view_as(got)
    wanted = torch.autograd.grad((expected * weights).sum(), [theirs[name] for name in ours])
    found = torch.autograd.grad(
        (got * weights).sum(), list(ours.values()), allow_unused=True, materialize_grads=True
    )
    for name, want, have in zip(ours, wanted, found, strict=True):
        error = float((have - want).abs().max())
        assert error <= 1e-10 * max(1.0, float(want.abs().max())), f"{name}: off by {error}"


# The model.


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 1, "expand": 1}])
def test_values_and_gradients_of_every_parameter(settings, length, rows):
    model = shaken(make(max_length=200, **settings)).eval()
    batch, theirs = histories(rows, length), copies(model)
    hidden = reference(batch.items, theirs, settings.get("num_layers", 2))
    expected = hidden[batch.mask] @ theirs["embedder.item_table"].T + theirs["head.bias"]
    got = model.head(model(batch)[batch.mask])
    compare(expected, got, theirs, dict(model.named_parameters()))


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_newest_event_alone_with_gradients(length, rows):
    model = shaken(make(max_length=200)).eval()
    batch, theirs = histories(rows, length), copies(model)
    expected = batch.gather_last(reference(batch.items, theirs, 2))
    ours = {name: value for name, value in model.named_parameters() if name != "head.bias"}
    compare(expected, model.last(batch), theirs, ours)


@torch.inference_mode()
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_steps_equal_the_whole_sequence(length):
    model = shaken(make(max_length=200)).eval()
    batch = SequenceBatch(histories(7, length).items.clamp(min=1), torch.full((7,), length))
    state = model.backbone.initial_state(7)
    outputs = []
    for t in range(length):
        vectors, _ = model.embedder.step(batch.items[:, t], None)
        before = [values.clone() for values in state]
        hidden, new = model.backbone.step(vectors, state, None)
        assert all(torch.equal(one, other) for one, other in zip(state, before, strict=True))
        outputs.append(hidden)
        state = new
    assert [tuple(values.shape) for values in state] == [(7, 24, 2)] * 2
    torch.testing.assert_close(torch.stack(outputs, 1), model(batch), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 1, "expand": 1}, {"max_length": 100}])
def test_promises_are_kept(settings):
    check_model(make(**settings))


def test_dropout_is_where_the_equations_have_it(monkeypatch):
    def pattern(values: Tensor) -> Tensor:
        angle = torch.arange(values.numel(), dtype=values.dtype).view_as(values)
        return values * (1.0 + 0.5 * torch.cos(angle))

    monkeypatch.setattr(nn.Dropout, "forward", lambda self, values: pattern(values))
    model = shaken(make())
    batch = SequenceBatch(histories(2, 11).items.clamp(min=1), torch.full((2,), 11))
    expected = reference(batch.items, copies(model), 2, pattern)
    torch.testing.assert_close(model(batch), expected, rtol=1e-10, atol=1e-10)


@torch.inference_mode()
def test_float32_stays_near_float64_over_long_histories():
    """Fresh weights, whose slowest channel remembers for hundreds of events."""
    model = make(max_length=3000).eval()
    batch = histories(2, 3000)
    found = model(batch)
    expected = model.double()(batch)
    assert float((found - expected).abs().max()) < 1e-4


def test_mixed_precision_keeps_the_recurrence_in_float32():
    unit = LinearRecurrentUnit(12, 24)
    hidden = torch.randn(3, 50, 12, generator=torch.Generator().manual_seed(0))
    expected = unit(hidden)
    batch = SequenceBatch(torch.ones(3, 50, dtype=torch.int64), torch.tensor([50, 1, 7]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, last = unit(hidden), unit.last(hidden, batch)
        _, state = unit.step(hidden[:, 0], unit.initial_state(3))
    assert state.dtype == torch.float32
    scale = float(expected.detach().abs().max())
    for one, other in ((found, expected), (last, batch.gather_last(expected))):
        torch.testing.assert_close(one.float(), other, rtol=0, atol=0.02 * scale)
    found.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in unit.parameters())


def test_weights_in_half_precision_keep_the_recurrence_in_float32():
    unit = LinearRecurrentUnit(12, 24)
    hidden = torch.randn(3, 50, 12, generator=torch.Generator().manual_seed(0))
    expected = unit.bfloat16().float()(hidden)
    unit, hidden = unit.bfloat16(), hidden.bfloat16()
    batch = SequenceBatch(torch.ones(3, 50, dtype=torch.int64), torch.tensor([50, 1, 7]))
    found, last, state = unit(hidden), unit.last(hidden, batch), unit.initial_state(3)
    first, state = unit.step(hidden[:, 0], state)
    assert state.dtype == torch.float32
    scale = float(expected.detach().abs().max())
    pairs = (found, expected), (last, batch.gather_last(expected)), (first, expected[:, 0])
    for one, other in pairs:
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, rtol=0, atol=0.02 * scale)


def test_a_session_has_a_constant_state_and_can_be_saved(tmp_path):
    model = make(max_length=10).eval()
    history = [model.vocabulary.item(1 + (7 * t) % ITEMS) for t in range(300)]
    session = model.session()
    for t, item in enumerate(history[:150], 1):
        session.observe(item)
        if t in (1, 2, 10):
            found, expected = session.recommend(k=5), model.recommend(history[:t], k=5)
            assert [entry.item for entry in found] == [entry.item for entry in expected]
    session.save(tmp_path / "session")
    again = type(session).restore(model, tmp_path / "session")
    for item in history[150:]:
        session.observe(item)
        again.observe(item)
    assert torch.equal(again.hidden, session.hidden)
    # It forgets nothing by itself: the whole history, beyond the model's window.
    items = torch.tensor([[model.vocabulary.index(item) for item in history]])
    with torch.inference_mode():
        whole = model.last(SequenceBatch(items, torch.tensor([300])))[0]
    torch.testing.assert_close(session.hidden, whole, rtol=1e-4, atol=1e-4)


# The scan.


@pytest.mark.parametrize("length", [*range(1, 34), 63, 64, 65, 100, 200, 257])
def test_scan_against_a_loop(length):
    inputs, decay = random_scan(3, length, 5)
    state, states = torch.zeros(3, 5, dtype=torch.complex128), []
    for t in range(length):
        state = decay * state + inputs[:, t]
        states.append(state)
    kept = inputs.clone()
    torch.testing.assert_close(linear_scan(inputs, decay), torch.stack(states, 1))
    torch.testing.assert_close(linear_scan_last(inputs, decay), state)
    assert torch.equal(inputs, kept)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 13])
def test_gradients_of_the_scan_by_differences(length):
    operands = [values.requires_grad_() for values in random_scan(2, length, 3)]
    for scan in (linear_scan, linear_scan_last):
        assert torch.autograd.gradcheck(scan, operands)


def test_scan_of_inputs_that_are_not_contiguous():
    inputs, decay = random_scan(5, 21, 4)
    swapped = inputs.transpose(0, 2).contiguous().transpose(0, 2)
    for scan in (linear_scan, linear_scan_last):
        torch.testing.assert_close(scan(swapped, decay), scan(inputs, decay))


# First values, names and settings.


def test_first_values():
    torch.manual_seed(0)
    unit = LinearRecurrentUnit(16, 65_536)
    decay = unit.decay().detach()
    square = decay.abs() ** 2
    low, high = 0.8**2, 0.99**2
    assert low - 1e-5 <= float(square.min()) < low + 0.001
    assert high - 0.001 < float(square.max()) <= high + 1e-5
    # The mean of so many draws is known to 0.0004 here, that of phases to 0.007; with the radius
    # uniform instead of its square, the first would be off by 0.006.
    assert float(square.mean()) == pytest.approx((low + high) / 2, abs=0.0016)
    phase = torch.exp(unit.theta.detach())
    assert 0.0 < float(phase.min()) < 0.01
    assert 2 * math.pi - 0.01 < float(phase.max()) <= 2 * math.pi
    assert float(phase.mean()) == pytest.approx(math.pi, abs=0.03)
    gamma = torch.exp(unit.log_gamma.detach())
    torch.testing.assert_close(gamma**2 + square, torch.ones_like(gamma))
    for linear in (unit.in_proj, unit.out_proj):
        for values in (linear.weight, linear.bias):
            assert 0.0 < float(values.detach().abs().max()) <= 0.04
        # A normal cut off at two of its standard deviations keeps 0.88 of the standard deviation.
        assert float(linear.weight.detach().std()) == pytest.approx(0.0176, rel=0.01)
        assert abs(float(linear.weight.detach().mean())) < 2e-4


def test_first_values_of_the_other_layers():
    model = make(hidden_size=64)
    for name, value in model.backbone.named_parameters():
        if "norm" in name:
            expected = (
                torch.ones_like(value) if name.endswith("weight") else torch.zeros_like(value)
            )
            assert torch.equal(value, expected), name
        elif "ffn" in name:
            assert 0.0 < float(value.detach().abs().max()) <= 0.04, name


def test_radii_can_be_set():
    unit = LinearRecurrentUnit(8, 512, min_radius=0.3, max_radius=0.5)
    radius = unit.decay().detach().abs()
    assert float(radius.min()) >= 0.3 - 1e-5
    assert float(radius.max()) <= 0.5 + 1e-5


def test_states_stay_bounded_for_all_weights():
    unit = LinearRecurrentUnit(8, 32)
    with torch.no_grad():
        unit.nu.copy_(torch.linspace(-30.0, 5.0, 32))
    assert float(unit.decay().detach().abs().max()) <= 1.0


def test_names_shapes_and_count():
    model = seqzoo.create("lru", num_items=3_416)
    lru = {
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
        for name, shape in lru.items():
            assert found[f"backbone.layers.{layer}.lru.{name}"] == shape
    assert found["head.bias"] == (3_417,)
    assert not any(value.is_complex() for value in model.state_dict().values())
    block = (3 * 128 + 16_640 + 16_448) + 128 + (16_640 + 16_448) + 128
    assert model.num_parameters == 3_417 * 64 + 128 + 2 * block + 3_417


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "num_layers"),
        ({"expand": 0}, "expand"),
        ({"dropout": 1.0}, "dropout"),
        ({"min_radius": 0.0}, "min_radius"),
        ({"max_radius": 1.0}, "max_radius"),
        ({"min_radius": 0.9, "max_radius": 0.8}, "'min_radius' is 0.9, above 'max_radius' = 0.8"),
        ({"radius": 0.9}, "unknown setting 'model.radius'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_registering_and_settings_need_no_torch():
    code = (
        "import sys, seqzoo_lru, seqzoo_lru.config; seqzoo_lru.config.LruRecConfig(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
