"""Names, shapes and number of parameters, and initial values, against the released code."""

import pytest
import torch
from torch.nn import functional

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError
from seqzoo.model.sequence_model import SequenceModel

CORE = {
    "ssd.in_proj.weight": (324, 64),
    "ssd.in_proj.bias": (324,),
    "ssd.conv1d.weight": (192, 1, 4),
    "ssd.conv1d.bias": (192,),
    "ssd.dt_bias": (4,),
    "ssd.A_log": (4,),
    "ssd.D": (4,),
    "ssd.norm.weight": (128,),
    "ssd.out_proj.weight": (64, 128),
    "ssd.out_proj.bias": (64,),
}
REST = {
    "layer_norm.weight": (64,),
    "layer_norm.bias": (64,),
    "ffn.fc1.weight": (256, 64),
    "ffn.fc1.bias": (256,),
    "ffn.fc2.weight": (64, 256),
    "ffn.fc2.bias": (64,),
    "ffn.layer_norm.weight": (64,),
    "ffn.layer_norm.bias": (64,),
}
CONVOLUTIONS = {
    f"ssd.conv1d4time_{number}.{kind}": shape
    for number in (1, 2)
    for kind, shape in (("weight", (4, 1, 4)), ("bias", (4,)))
}


def reference_branch(length, gates):
    """Names and shapes in every layer of the released code."""
    return CONVOLUTIONS | {
        "ssd.mlp4time_scale.1.weight": (length, length),
        "ssd.mlp4time_scale.1.bias": (length,),
        "ssd.mlp4time_scale.3.weight": (length, length),
        "ssd.mlp4time_scale.3.bias": (length,),
        "ssd.time_gate_residual.1.weight": (gates, length),
        "ssd.time_gate_residual.1.bias": (gates,),
        "ssd.time_layer_norm.weight": (length,),
        "ssd.time_layer_norm.bias": (length,),
    }


CAUSAL_BRANCH = CONVOLUTIONS | {
    "ssd.mlp4time_scale.1.weight": (16, 1),
    "ssd.mlp4time_scale.1.bias": (16,),
    "ssd.mlp4time_scale.3.weight": (4, 16),
    "ssd.mlp4time_scale.3.bias": (4,),
    "ssd.time_gate_residual.1.weight": (4, 4),
    "ssd.time_gate_residual.1.bias": (4,),
}
NOT_IN_THE_LAST = ("time_gate_residual", "time_layer_norm")


@pytest.fixture(scope="module")
def build():
    def build(architecture="tim4rec", seed=0, **settings):
        torch.manual_seed(seed)
        vocabulary = Vocabulary([str(item) for item in range(100)])
        return SequenceModel.build(architecture, settings, vocabulary)

    return build


def expected_shapes(branch, layers):
    """All our parameters: the released names without the unused gate and norm."""
    shapes = {
        "embedder.item_table": (101, 64),
        "embedder.norm.weight": (64,),
        "embedder.norm.bias": (64,),
    }
    for layer in range(layers):
        for name, shape in (CORE | REST | branch).items():
            if layer < layers - 1 or not any(part in name for part in NOT_IN_THE_LAST):
                shapes[f"backbone.ssd_layers.{layer}.{name}"] = shape
    return shapes


def shapes_of(state):
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_names_and_shapes(build, layers):
    plain = build("ssd4rec", num_layers=layers).state_dict()
    assert shapes_of(plain) == expected_shapes({}, layers)
    assert shapes_of(build(time_mode="off", num_layers=layers).state_dict()) == shapes_of(plain)
    causal = build(num_layers=layers).state_dict()
    assert shapes_of(causal) == expected_shapes(CAUSAL_BRANCH, layers)
    for gates, p2p in ((1, False), (200, True)):
        released = build(time_mode="reference", num_layers=layers, p2p_residual=p2p).state_dict()
        norms = {f"backbone.layer_norm_time.{kind}": (200,) for kind in ("weight", "bias")}
        expected = expected_shapes(reference_branch(200, gates), layers) | norms
        assert shapes_of(released) == expected


def count(model, layer, *fragments):
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if name.startswith(f"backbone.ssd_layers.{layer}.ssd.")
        and (not fragments or any(fragment in name for fragment in fragments))
    )


@pytest.mark.parametrize(
    ("length", "p2p", "branch", "unused"), [(200, False, 81_041, 601), (50, True, 7_790, 2_650)]
)
def test_counts(build, length, p2p, branch, unused):
    """The last layer lacks exactly the parameters that get no gradient in the released code."""
    model = build(time_mode="reference", max_length=length, p2p_residual=p2p)
    assert count(build("ssd4rec"), 0) == count(build("ssd4rec"), 1) == 30_416
    assert count(model, 0) == 30_416 + branch
    assert count(model, 0, *NOT_IN_THE_LAST) == unused
    assert count(model, 1) == 30_416 + branch - unused


def published(length=200, gates=1, layers=2, items=101):
    """A released state dict, with random values."""
    shapes = {
        "item_embedding.weight": (items, 64),
        "in_layer_norm.weight": (64,),
        "in_layer_norm.bias": (64,),
        "layer_norm_time.weight": (length,),
        "layer_norm_time.bias": (length,),
    }
    for layer in range(layers):
        for name, shape in (CORE | REST | reference_branch(length, gates)).items():
            shapes[f"ssd_layers.{layer}.{name}"] = shape
    draw = torch.Generator().manual_seed(3)
    return {name: 0.3 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def renamed(name):
    for theirs, ours in (
        ("item_embedding.weight", "embedder.item_table"),
        ("in_layer_norm.", "embedder.norm."),
    ):
        if name.startswith(theirs):
            return name.replace(theirs, ours)
    return f"backbone.{name}"


def test_a_released_state_dict_comes_in_by_renaming(build):
    """Strict loading works without the last layer's gate and norm."""
    model = build(time_mode="reference")
    state = {renamed(name): value for name, value in published().items()}
    found = model.load_state_dict(state, strict=False)
    assert not found.missing_keys
    top = "backbone.ssd_layers.1.ssd."
    assert set(found.unexpected_keys) == {
        f"{top}{part}{kind}"
        for part in ("time_gate_residual.1.", "time_layer_norm.")
        for kind in ("weight", "bias")
    }


def test_first_values_that_all_modes_share(build):
    for architecture, settings in (
        ("ssd4rec", {}),
        ("tim4rec", {}),
        ("tim4rec", {"time_mode": "reference"}),
    ):
        for name, value in build(architecture, **settings).named_parameters():
            if name.endswith((".D", "norm.weight", "layer_norm_time.weight")):
                assert torch.equal(value, torch.ones_like(value)), name
            elif name.endswith(("A_log", "dt_bias")):
                continue
            elif name.endswith("bias"):
                assert not value.any(), name
            elif "conv1d4time" in name:
                # 16 draws of standard deviation 0.354.
                assert 0.15 < value.std() < 0.65, name
            elif "conv1d" in name:
                # 768 draws of standard deviation 0.051.
                assert 0.046 < value.std() < 0.056, name
            elif value.numel() > 4_000:
                assert 0.0195 < value.std() < 0.0205, name
                assert value.mean().abs() < 1.5e-3, name
            else:
                assert value.abs().max() < 0.1, name


def test_convolutions_as_pytorch_starts_them(build):
    model = build(conv_initialisation="torch")
    for name, value in model.named_parameters():
        if "conv1d." in name:
            assert 0.45 < value.abs().max() <= 0.5, name
        elif "conv1d4time" in name:
            assert 0.0 < value.abs().max() <= 0.5, name


def test_the_spread_of_step_sizes_survives(build):
    """Steps log-uniform in 0.001 to 0.1, rates uniform in 1 to 16; with 512 heads."""
    block = build(hidden_size=256, head_size=1, num_layers=1).backbone.ssd_layers[0].ssd
    steps = functional.softplus(block.dt_bias.double())
    # The inverse of softplus is taken in float32, which moves the ends by some 1e-4 of themselves.
    assert 1e-3 * (1 - 1e-3) <= steps.min() < 1.1e-3
    assert 0.9e-1 < steps.max() <= 1e-1 * (1 + 1e-3)
    assert abs(steps.log10().mean() + 2.0) < 0.1
    rates = block.A_log.exp()
    assert 1.0 <= rates.min() < 1.3
    assert 15.7 < rates.max() <= 16.0 + 1e-4
    assert abs(rates.mean() - 8.5) < 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_mode": "clock"}, "'time_mode' is 'clock'; expected one of: causal, reference, off"),
        (
            {"head_size": 24},
            "expand . hidden_size is 128, which is not a multiple of head_size = 24",
        ),
        ({"state_size": 0}, "'state_size' is 0; expected 1 or more"),
        ({"chunk_size": 0}, "'chunk_size' is 0"),
        ({"dropout": 1.0}, "'dropout' is 1.0"),
        ({"time_dropout": -0.1}, "'time_dropout' is -0.1"),
        ({"time_scale": 0.0}, "'time_scale' is 0.0; expected more than 0"),
        ({"time_std": -1.0}, "'time_std' is -1.0; expected more than 0"),
        ({"activation": "gelu"}, "'activation' is 'gelu'; .* expected one of: hardswish, silu"),
        ({"conv_initialisation": "zero"}, "expected one of: kaiming, torch"),
        ({"p2p_residual": True}, "'p2p_residual' is true, which needs time_mode='reference'"),
        ({"time_mod": "off"}, "'model.time_mod'; did you mean 'model.time_mode'"),
    ],
)
def test_wrong_settings(build, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_ssd4rec_has_no_times(build):
    assert "time_scale" not in build("ssd4rec").config
    with pytest.raises(ConfigError, match="use the architecture tim4rec"):
        build("ssd4rec", time_mode="causal")
