"""FuXi-Linear's parameters and first values, its importer, precision, and what users do wrong."""

import math

import pytest
import torch
from seqzoo_fuxi_linear.config import FuxiLinearConfig
from seqzoo_fuxi_linear.public_weights import from_public
from torch.nn import functional

import seqzoo
from seqzoo.errors import CheckpointError, ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights
from tests.plugins.seqzoo_fuxi_linear.published import random_weights
from tests.plugins.seqzoo_fuxi_linear.samples import histories


def test_names_shapes_and_count():
    model = seqzoo.create("fuxi-linear", num_items=3_416)
    layer = {
        "uqkv.weight": (384, 64),
        "retention_decay": (2,),
        "time_proj.weight": (64, 64),
        "position_proj.weight": (64, 64),
        "position_gain": (1,),
        "position_skip": (1,),
        "position_vectors": (200, 32),
        "mix.weight": (64, 192),
        "ffn_gate.weight": (64, 64),
        "ffn_value.weight": (64, 64),
        "ffn_out.weight": (64, 64),
    }
    expected = {"embedder.item_table": (3_417, 64), "embedder.position_table": (200, 64)}
    for number in range(2):
        expected |= {f"backbone.layers.{number}.{name}": size for name, size in layer.items()}
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert found == expected
    assert model.num_parameters == sum(math.prod(shape) for shape in expected.values())


def test_options_add_parameters(make):
    plain = set(make("fuxi-linear").state_dict())
    more = set(make("fuxi-linear", time_skip=True, learn_decay=True).state_dict())
    added = {"backbone.oscillations.decay"} | {
        f"backbone.layers.{layer}.{name}" for layer in (0, 1) for name in ("time_gain", "time_skip")
    }
    assert more - plain == added
    spare = make("fuxi-linear", spare_positions=3)
    assert len(spare.embedder.position_table) == len(spare.backbone.layers[0].position_vectors)
    assert len(spare.embedder.position_table) == 23
    assert spare.embedder.max_length == spare.backbone.max_length == 20


def test_first_values(make):
    model = make("fuxi-linear", hidden_size=64, max_length=400, time_skip=True, learn_decay=True)
    values = {name: value.detach() for name, value in model.named_parameters()}
    for name, value in values.items():
        if name.endswith(("time_skip", "position_skip")):
            assert torch.equal(value, torch.ones_like(value)), name
        elif name.endswith(("uqkv.weight", "mix.weight", "ffn_out.weight")):
            assert float(value.std()) == pytest.approx(0.02, rel=0.05), name
        elif name.endswith(("time_proj.weight", "position_proj.weight")):
            assert 0.12 < float(value.abs().max()) <= 0.125, name
        elif name.endswith(("decay", "gain")):
            assert 0.0 < float(value.abs().max()) < 0.08, name
    assert float(values["embedder.item_table"].abs().max()) <= 0.04
    spread = math.sqrt(2 / (400 + 64))
    assert float(values["embedder.position_table"].std()) == pytest.approx(spread, rel=0.05)
    vectors = values["backbone.layers.0.position_vectors"]
    assert float(vectors[7, 0]) == pytest.approx(math.sin(7))
    assert float(vectors[7, 16]) == pytest.approx(math.cos(7))
    assert float(vectors[300, 8]) == pytest.approx(math.sin(300 / 100), abs=1e-4)
    rates = make("fuxi-linear", num_heads=4).backbone.layers[0]._rates().detach()
    torch.testing.assert_close(rates, 0.5 ** torch.arange(1.0, 5.0), rtol=0, atol=0.02)


def test_results_have_length_one(make):
    model = make("fuxi-linear").eval()
    batch = histories([9, 3])
    torch.testing.assert_close(model(batch)[batch.mask].norm(dim=-1), torch.ones(12))
    torch.testing.assert_close(model.last(batch).norm(dim=-1), torch.ones(2))


def test_the_default_periods_are_those_published_for_movielens_20m():
    periods = FuxiLinearConfig().periods
    assert periods == [16.0**index for index in range(8)]
    assert FuxiLinearConfig(first_period=1.024, period_ratio=8.0, num_periods=8).periods[-1] == (
        pytest.approx(2147483.648)
    )


def test_settings_are_read_from_the_weights():
    settings = from_public(random_weights(30, query=3, inner=16, rows=40, periods=4)).settings
    assert settings == {
        "hidden_size": 8,
        "max_length": 40,
        "num_layers": 2,
        "num_heads": 2,
        "query_size": 3,
        "num_periods": 4,
        "first_period": 1000.0,
        "period_ratio": 30.0,
        "time_skip": False,
        "learn_decay": False,
        "position_size": 4,
        "ffn_expand": 2,
    }


def test_untrained_rows_of_published_weights_need_not_be_read(tmp_path):
    weights = {
        name: value.float() if value.is_floating_point() else value
        for name, value in random_weights(5, rows=30).items()
    }
    torch.save(weights, tmp_path / "fuxi.pth")
    (tmp_path / "items.txt").write_text("a\nb\nc\nd\ne")
    model, _ = imported(tmp_path, {"max_length": 19, "spare_positions": 11})
    assert model.max_length == 19
    with pytest.raises(ConfigError, match=r"20 events is longer than max_length = 19"):
        model(SequenceBatch(torch.ones(1, 20, dtype=torch.int64), torch.tensor([20])))


def imported(folder, settings):
    return import_weights(
        folder / "fuxi.pth",
        architecture="fuxi-linear",
        vocabulary=folder / "items.txt",
        settings=settings,
    )


def test_other_weights_are_refused():
    with pytest.raises(CheckpointError, match="USTC-StarTeam/fuxi-linear"):
        from_public({"item_embedding.weight": torch.ones(3, 4)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 24}, r"24, which is not a multiple of 2 \* num_periods = 16"),
        ({"num_heads": 3}, "not a multiple of num_heads = 3"),
        ({"position_size": 7}, "position_size is 7, which is not a multiple of 2"),
        ({"time": "now"}, "'time' is 'now'; expected one of: next, previous"),
        ({"first_period": 0.0}, "'first_period' is 0.0"),
        ({"period_ratio": 0.5}, "'period_ratio' is 0.5; expected 1.0 or more"),
        ({"chunk_size": 0}, "'chunk_size' is 0"),
        ({"spare_positions": -1}, "'spare_positions' is -1"),
        ({"dropout": 1.0}, "'dropout' is 1.0"),
        ({"periods": 3}, "unknown setting 'model.periods'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("fuxi-linear", **settings)


def test_mixed_precision(make):
    """bfloat16 has 8 significant bits; sums and states are float32."""
    model = make("fuxi-linear", chunk_size=5).eval()
    batch = histories([20, 3, 11])
    exact = model(batch)[batch.mask].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, last = model(batch)[batch.mask], model.last(batch)
        functional.mse_loss(last.float(), torch.ones(3, 16)).backward()
    assert float((mixed.detach() - exact).abs().max()) < 0.1
    assert float((last - model.last(batch)).detach().abs().max()) < 0.1
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters()
               if parameter.grad is not None)  # fmt: skip


@pytest.mark.slow
def test_exported_it_gives_the_same(tmp_path):
    pytest.importorskip("onnxscript")
    model = seqzoo.create("fuxi-linear", num_items=30, hidden_size=16, time="previous").eval()
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming
    assert exported.max_difference <= 1e-5
