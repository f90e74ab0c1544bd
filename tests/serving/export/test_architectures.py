"""Every first-party architecture as exported files, and what cannot be exported."""

import json
import sys
import types
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import torch

import seqzoo
from seqzoo.cli.app import run
from seqzoo.data.sequences import Sequences
from seqzoo.errors import UsageError
from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo.ops.exporting import exportable
from seqzoo.plugins import catalogue, plugins
from seqzoo.specs import ArchitectureSpec, BackboneSpec
from seqzoo.testing import small_model
from tests.serving.export.folders import check, isolated

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

slow = pytest.mark.slow
BASELINES = ("popular", "recent-popular", "item-knn", "markov")
LARGE = ("elastic", "gru4rec", "mamba4rec", "narm", "sasrec", "tim4rec")
TRAINED = ("bert4rec", "esasrec", "lrurec", *LARGE)
CONFIGURED = [
    ("bert4rec", {"drop_oldest": True}),
    ("elastic", {"forgetting": True, "num_layers": 3}),
    ("elastic", {"imr": "post", "num_layers": 1}),
    ("elastic", {"imr": "none", "causal": False, "objective": "next-item-last"}),
    ("fuxi-linear", {"time": "previous"}),
    ("hstu", {"time_mode": "previous"}),
    ("hstu", {"time_mode": "none", "num_layers": 1}),
    ("mamba4rec", {"num_layers": 3}),
    ("sasrec", {"objective": "duorec"}),
    ("ssd4rec", {"num_layers": 1}),
    ("tim4rec", {"time_mode": "reference", "objective": "next-item-last"}),
]


def first_party():
    """The architectures of this repository."""
    ours = {each.name for each in plugins().records if each.distribution == "seqzoo"}
    return {spec.name for spec in catalogue().architectures if spec.plugin in ours}


FORMS = [*((name, {}) for name in sorted(first_party() - {*BASELINES})), *CONFIGURED]
LONGEST = 2000


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=slow if name != "item-knn" else ()) for name in BASELINES]
)
def test_baselines_give_the_scores_of_the_model(name, tmp_path):
    model = small_model(name)
    items = np.random.default_rng(0).integers(1, 31, 720).astype(np.int32)
    offsets = np.arange(0, 721, 12, dtype=np.int64)
    model.head.fit(Sequences(items, np.arange(720, dtype=np.int64), offsets))
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.max_difference <= 1e-6
    assert exported.agreement == 1.0


@pytest.mark.parametrize(("name", "settings"), FORMS)
@torch.no_grad()
def test_the_form_that_is_traced_computes_the_same(name, settings):
    """In float64, for histories of several lengths."""
    model = small_model(name, **settings).double()
    rows = [[5, 1, 9, 9, 30, 2, 17], [3], list(range(1, 20)), [8, 8]]
    stamps = [[60 * place**2 for place in range(len(row))] for row in rows]
    batch = SequenceBatch.from_histories(rows, stamps if model.backbone.uses_time else None)
    expected = model.read(batch)
    with exportable():
        found = model.read(batch)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@slow
@pytest.mark.parametrize("name", TRAINED)
def test_trained_models_give_the_user_vectors_of_the_model(name, tmp_path):
    model = seqzoo.load(f"{name}-ml100k")
    exported = seqzoo.export(model, tmp_path / "out", programs=True)
    assert exported.max_difference <= 1e-5
    assert exported.streaming == (name != "bert4rec")
    check(model, exported.out)


@slow
@pytest.mark.parametrize(("name", "settings"), CONFIGURED)
def test_other_settings_give_the_user_vectors_of_the_model(name, settings, tmp_path):
    model = small_model(name, max_length=LONGEST, **settings)
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming == model.backbone.streaming
    check(model, exported.out)


@slow
@pytest.mark.parametrize("name", sorted(first_party() - {*BASELINES}))
def test_every_architecture_gives_the_user_vectors_of_the_model(name, tmp_path):
    """With histories of up to 2,000 events, all of which are read."""
    model = small_model(name, max_length=LONGEST)
    exported = seqzoo.export(model, tmp_path / "out")
    assert exported.streaming == model.backbone.streaming
    check(model, exported.out)


@slow
@pytest.mark.parametrize("name", LARGE)
def test_real_histories_get_the_same_lists_without_torch(name, bare, real_data, tmp_path):
    """1,000 users of MovieLens-1M, in an environment that has neither torch nor seqzoo."""
    rows = pl.read_csv(real_data("ml-1m") / "ml-1m.inter", separator="\t", infer_schema=False)
    rows = rows.rename({column: column.partition(":")[0] for column in rows.columns})
    rows = rows.with_columns(pl.col("timestamp").cast(pl.Float64).cast(pl.Int64))
    users = rows.sort("timestamp", maintain_order=True).group_by("user_id", maintain_order=True)
    users = users.agg("item_id", "timestamp").head(1000)
    histories = users["item_id"].to_list()
    model = seqzoo.load(f"{name}-ml1m")
    stamps = users["timestamp"].to_list() if model.backbone.uses_time else None
    exported = seqzoo.export(model, tmp_path / "out")
    found = isolated(bare, exported.out, histories, stamps)
    expected = model.recommend_many(histories, 10, timestamps=stamps)
    same = sum(
        [item for item, _ in own] == [one.item for one in best]
        for own, best in zip(found, expected, strict=True)
    )
    # Of two scores that are equal within rounding, either may come first.
    assert same >= 998
    for own, best in zip(found, expected, strict=True):
        scores = [one.score for one in best]
        np.testing.assert_allclose([score for _, score in own], scores, rtol=1e-4, atol=1e-4)


@dataclass
class Config:
    """Settings of the planted backbone."""

    hidden_size: int = 64


class DependsOnValues(Backbone):
    """Takes a branch that no graph has."""

    def __init__(self, config):
        super().__init__()
        self.mix = torch.nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden, batch):
        mixed = self.mix(hidden)
        return mixed if float(self.mix.bias.detach().sum()) > -99 else -mixed


@pytest.fixture
def planted(monkeypatch):
    """A third party's architecture that cannot be traced; its name."""
    module = types.ModuleType("planted")
    module.Backbone, module.Config = DependsOnValues, Config
    monkeypatch.setitem(sys.modules, "planted", module)
    spec = BackboneSpec("planted", "tests", "planted:Backbone", "planted:Config")
    architecture = ArchitectureSpec("planted", "tests", "item", "planted", "tied-softmax")
    monkeypatch.setitem(catalogue().backbones._specs, "planted", spec)
    monkeypatch.setitem(catalogue().architectures._specs, "planted", architecture)
    return "planted"


def test_an_architecture_that_cannot_be_exported_is_named(planted, tmp_path):
    with pytest.raises(UsageError, match=r"'planted' cannot be exported: .*; serve it with"):
        seqzoo.export(small_model(planted), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_check_warns_of_it_and_does_not_fail(planted, capsys):
    assert run(["check", planted, "--json"]) == 0, capsys.readouterr().out
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    (tried,) = [each for each in document["checks"] if each["check"] == "export"]
    assert tried["ok"]
    assert tried["warning"]
    assert "cannot be exported" in tried["message"]
    assert run(["check", planted]) == 0
    assert "all checks passed, 1 warning" in capsys.readouterr().out
    assert run(["check", planted, "--quick", "--json"]) == 0
    assert '"export"' not in capsys.readouterr().out


def test_check_finds_nothing_wrong_with_what_can_be_exported(capsys):
    assert run(["check", "markov", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    (tried,) = [each for each in checks if each["check"] == "export"]
    assert (tried["ok"], tried["warning"], tried["message"]) == (True, False, "")
