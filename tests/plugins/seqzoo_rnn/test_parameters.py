"""Names, shapes, initial values and defaults, as in RecBole."""

import math

import pytest
import torch

GRU4REC = {
    "gru_layers.weight_ih_l0": (384, 64),
    "gru_layers.weight_hh_l0": (384, 128),
    "gru_layers.weight_ih_l1": (384, 128),
    "gru_layers.weight_hh_l1": (384, 128),
    "dense.weight": (64, 128),
    "dense.bias": (64,),
}
NARM = {
    "gru.weight_ih_l0": (384, 64),
    "gru.weight_hh_l0": (384, 128),
    "gru.weight_ih_l1": (384, 128),
    "gru.weight_hh_l1": (384, 128),
    "a_1.weight": (128, 128),
    "a_2.weight": (128, 128),
    "v_t.weight": (1, 128),
    "b.weight": (64, 256),
}


@pytest.fixture
def backbone(make):
    def backbone(architecture, **settings):
        sizes = {"hidden_size": 64, "gru_size": 128, "num_layers": 2}
        return make(architecture, **{**sizes, **settings}).backbone

    return backbone


@pytest.mark.parametrize(("architecture", "names"), [("gru4rec", GRU4REC), ("narm", NARM)])
def test_names_and_shapes(backbone, architecture, names):
    state = backbone(architecture).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == names
    one = backbone(architecture, num_layers=1).state_dict()
    assert set(one) == {name for name in names if not name.endswith("_l1")}


def uniform(values, bound):
    """Values are spread evenly between the bounds."""
    values = values.detach()
    assert 0.97 * bound < float(values.abs().max()) <= bound
    assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


def normal(values, std):
    """Values have the standard deviation, and some lie beyond a uniform distribution with it."""
    values = values.detach()
    # 5 standard deviations of the estimate.
    assert float(values.std()) == pytest.approx(std, rel=5 / math.sqrt(2 * values.numel()))
    assert float(values.abs().max()) > 2 * std


def test_first_values_of_gru4rec(backbone):
    own = backbone("gru4rec")
    uniform(own.gru_layers.weight_ih_l0, math.sqrt(6 / (384 + 64)))
    uniform(own.gru_layers.weight_hh_l0, math.sqrt(6 / (384 + 128)))
    uniform(own.gru_layers.weight_ih_l1, 1 / math.sqrt(128))
    uniform(own.gru_layers.weight_hh_l1, 1 / math.sqrt(128))
    uniform(own.dense.weight, 1 / math.sqrt(128))
    assert 0 < float(own.dense.bias.detach().abs().max()) <= 1 / math.sqrt(128)


def test_first_values_of_narm(backbone):
    own = backbone("narm")
    for weight in own.gru.parameters():
        uniform(weight, 1 / math.sqrt(128))
    normal(own.a_1.weight, math.sqrt(2 / 256))
    normal(own.a_2.weight, math.sqrt(2 / 256))
    normal(own.v_t.weight, math.sqrt(2 / 129))
    normal(own.b.weight, math.sqrt(2 / (256 + 64)))


def test_defaults_are_those_of_the_reference(make):
    gru4rec, narm = make("gru4rec").config, make("narm").config
    for config, dropout in ((gru4rec, 0.3), (narm, 0.25)):
        assert config["dropout"] == dropout
        assert config["gru_size"] == 128
        assert config["num_layers"] == 1
        assert config["embedding_norm"] == "none"
        assert config["initialisation"] == "xavier"
    assert narm["output_dropout"] == 0.5
    assert narm["attention"] == "sum"


@pytest.mark.parametrize("architecture", ["gru4rec", "narm"])
@torch.inference_mode()
def test_no_dropout_between_recurrent_layers(make, architecture):
    model = make(architecture, dropout=0.0, num_layers=2, gru_size=12).train()
    gru = model.backbone.gru if architecture == "narm" else model.backbone.gru_layers
    vectors = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gru(vectors)[0], gru(vectors)[0])
    assert gru.dropout == 0
