"""Names, shapes and number of parameters, and initial values, against the published code."""

import math

import pytest
import torch
from torch.nn import functional

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError
from seqzoo.model.sequence_model import SequenceModel

ITEMS_OF_ML_1M = 3_416

LAYER = {
    "mamba.A_log": (128, 32),
    "mamba.D": (128,),
    "mamba.in_proj.weight": (256, 64),
    "mamba.conv1d.weight": (128, 1, 4),
    "mamba.conv1d.bias": (128,),
    "mamba.x_proj.weight": (68, 128),
    "mamba.dt_proj.weight": (128, 4),
    "mamba.dt_proj.bias": (128,),
    "mamba.out_proj.weight": (64, 128),
    "norm.weight": (64,),
    "norm.bias": (64,),
    "ffn.w_1.weight": (256, 64),
    "ffn.w_1.bias": (256,),
    "ffn.w_2.weight": (64, 256),
    "ffn.w_2.bias": (64,),
    "ffn.norm.weight": (64,),
    "ffn.norm.bias": (64,),
}


@pytest.fixture(scope="module")
def build():
    def build(seed=0, **settings):
        torch.manual_seed(seed)
        vocabulary = Vocabulary([str(item) for item in range(ITEMS_OF_ML_1M)])
        return SequenceModel.build("mamba4rec", settings, vocabulary)

    return build


def count(model, *fragments):
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if all(fragment in name for fragment in fragments)
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_names_and_shapes(build, layers):
    expected = {
        "embedder.item_table": (3_417, 64),
        "embedder.norm.weight": (64,),
        "embedder.norm.bias": (64,),
    } | {
        f"backbone.layers.{layer}.{name}": shape
        for layer in range(layers)
        for name, shape in LAYER.items()
    }
    found = {
        name: tuple(value.shape) for name, value in build(num_layers=layers).state_dict().items()
    }
    assert found == expected


def test_counts(build):
    model = build(num_layers=2)
    assert count(model, "item_table") == 218_688
    for layer in ("layers.0.", "layers.1."):
        assert count(model, layer, "mamba.") == 38_784
        assert count(model, layer, "ffn.w_") == 33_088
        assert count(model, layer) == 72_128
    assert build().num_parameters == 218_688 + 128 + 72_128


@pytest.mark.parametrize("initialisation", ["published", "mamba"])
def test_first_values_that_both_share(build, initialisation):
    model = build(step_initialisation=initialisation, num_layers=2)
    for name, value in model.named_parameters():
        if name.endswith("A_log"):
            assert torch.equal(value, torch.arange(1.0, 33.0).log().expand(128, 32))
        elif name.endswith((".D", "norm.weight")):
            assert torch.equal(value, torch.ones_like(value))
        elif "conv1d" in name:
            assert 0.47 < value.abs().max() <= 0.5
        elif "dt_proj" in name:
            continue
        elif name.endswith("bias"):
            assert not value.any()
        else:
            # 8,192 draws at least: the standard deviation is known to 0.8 %.
            assert 0.0195 < value.std() < 0.0205
            assert value.mean().abs() < 1e-3
    # The published code overwrites the zero row of padding.
    assert 0.01 < model.embedder.item_table[0].std() < 0.03


def test_published_step_size(build):
    """The published code re-initialises Mamba's own projection: every step is softplus(0)."""
    block = build().backbone.layers[0].mamba
    assert not block.dt_proj.bias.any()
    assert 0.017 < block.dt_proj.weight.std() < 0.023


def test_step_size_of_mamba(build):
    block = build(step_initialisation="mamba").backbone.layers[0].mamba
    steps = functional.softplus(block.dt_proj.bias.double())
    # The inverse of softplus is taken in float32, which moves the ends by some 1e-4 of themselves.
    assert steps.min() >= 1e-3 * (1 - 1e-3)
    assert steps.max() <= 1e-1 * (1 + 1e-3)
    # Log-uniform: 128 draws of log10 in [-3, -1], whose mean is known to 0.05.
    assert abs(steps.log10().mean() + 2.0) < 0.2
    assert steps.min() < 1.2e-3
    assert steps.max() > 0.8e-1
    bound = 4**-0.5
    assert 0.95 * bound < block.dt_proj.weight.abs().max() <= bound


def test_only_the_step_size_differs(build):
    published, mamba = build(), build(step_initialisation="mamba")
    different = {
        name
        for (name, one), (_, other) in zip(
            published.named_parameters(), mamba.named_parameters(), strict=True
        )
        if not torch.equal(one, other)
    }
    assert different == {f"backbone.layers.0.mamba.dt_proj.{kind}" for kind in ("weight", "bias")}


def test_rates_are_marked_against_weight_decay(build):
    assert build().backbone.layers[0].mamba.A_log._no_weight_decay


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "'num_layers' is 0; expected 1 or more"),
        ({"state_size": -1}, "'state_size' is -1"),
        ({"dropout": 1.0}, r"'dropout' is 1\.0"),
        ({"dropout": -0.1}, "'dropout' is -0.1"),
        (
            {"step_initialisation": "mambo"},
            "'mambo'; did you mean 'mamba'. expected one of: published, mamba",
        ),
        ({"num_layer": 1}, "'model.num_layer'; did you mean 'model.num_layers'"),
        ({"state_size": 1.5}, "'model.state_size' is 1.5; expected int"),
    ],
)
def test_wrong_settings(build, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_rank_grows_with_the_width(build):
    for width in (8, 16, 17, 48):
        block = build(hidden_size=width).backbone.layers[0].mamba
        assert block.dt_proj.in_features == math.ceil(width / 16)
