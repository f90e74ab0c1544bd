"""Invalid recipes are refused before anything is done; schedules and parameter groups."""

import io
import json
import math
import re
import subprocess
import sys

import pytest
import torch
from rich.console import Console
from torch import nn

from seqzoo.errors import ConfigError, TrainingError, UnknownNameError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train
from seqzoo.training.progress import RunFacts, TerminalReporter
from seqzoo.training.recipe import Recipe, TrainConfig, read_recipe_file
from seqzoo.training.schedule import learning_rate, parameter_groups

BAD_TRAIN = [
    ({"lr": -1}, r"train: setting 'lr' is -1\.0; expected more than 0"),
    ({"lr": 0}, "'lr' is 0"),
    ({"lr": "fast"}, r"'train\.lr' is 'fast'; expected float"),
    ({"lr": float("nan")}, r"'train\.lr' is nan; expected a finite number"),
    ({"lr": "inf"}, r"'train\.lr' is inf"),
    ({"warmup": float("nan")}, r"'train\.warmup' is nan"),
    ({"warmup": -0.5}, "'warmup' is -0.5; expected 0 or more"),
    ({"weight_decay": -1}, "'weight_decay' is -1"),
    ({"clip_norm": -1}, "'clip_norm' is -1"),
    ({"schedule": "foo"}, "'schedule' is 'foo'; expected one of: constant, linear, cosine"),
    ({"precision": "fp8"}, "'precision' is 'fp8'.*expected one of: no, bf16, fp16"),
    ({"epochs": 0}, "'epochs' is 0; expected 1 or more"),
    ({"epochs": 2.5}, r"'train\.epochs' is 2\.5; expected int"),
    ({"epochs": None}, r"'train\.epochs' is None; expected int"),
    ({"batch_size": 0}, "'batch_size' is 0"),
    ({"patience": 0}, "'patience' is 0"),
    ({"seed": -1}, "'seed' is -1"),
    ({"threads": 1_000_000}, "'threads' is 1000000; expected 0 to 1024"),
    ({"seed": 2**32}, "'seed' is 4294967296"),
    ({"shift_windows": "perhaps"}, r"'train\.shift_windows' is 'perhaps'; expected bool"),
    ({"protocols": []}, "'protocols' is empty"),
    ({"protocols": 3}, r"'train\.protocols' is 3"),
    ({"epoch": 3}, r"unknown setting 'train\.epoch'; did you mean 'train\.epochs'"),
    ({"learning_rat": 3}, r"unknown setting 'train\.learning_rat'; .*Known: .*lr"),
]

BAD_SECTIONS = [
    ({"trian": {}}, "the recipe: .* unknown key 'trian'; did you mean 'train'"),
    ({"lr": 3}, r"unknown key 'lr'.*for example train\.lr=5e-4"),
    ({"train": 3}, "the recipe: 'train' is 3, expected settings by name; a setting"),
    ({"model": [1]}, r"'model' is \[1\], expected settings by name"),
    ({"data": "ml-1m"}, "'data' is 'ml-1m', expected settings by name"),
    ({"architecture": 5}, "'architecture' is 5, expected the name of an architecture"),
    ({"train": {3: 4}}, "a key in 'train' is 3, expected a name"),
    ({"data": {}}, r"no data given; .*--data \(data sets: .*synthetic"),
    ({"data": {"source": "synthetic", "min_cont": 3}}, r"did you mean 'data\.min_count'"),
    ({"data": {"source": "synthetic", "min_count": 0}}, "data: setting 'min_count' is 0"),
    ({"model": {"hidden_sise": 3}}, r"did you mean 'model\.hidden_size'"),
    ({"model": {"hidden_size": "wide"}}, r"'model\.hidden_size' is 'wide'; expected int"),
    ({"model": {"dropout": 1.5}}, "'dropout' is 1.5"),
    ({"model": {"max_length": 0}}, "'max_length' is 0"),
    ({"model": {"embedding_norm": "late"}}, "'embedding_norm' is 'late'; expected one of"),
    ({"model": {"norm_eps": -1.0}}, "'norm_eps' is -1.0"),
    ({"model": {"norm_eps": float("nan")}}, r"'model\.norm_eps' is nan"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_TRAIN)
def test_wrong_settings_of_training(recipe, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        train(recipe("sasrec", **settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("sections", "message"), BAD_SECTIONS)
def test_wrong_sections(recipe, tmp_path, sections, message):
    with pytest.raises(ConfigError, match=message):
        train({**recipe("sasrec"), **sections}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "sasrek"}, "unknown architecture 'sasrek'; did you mean 'sasrec'"),
        ({"architecture": ""}, "unknown architecture ''"),
        ({"data": {"source": "synthetik"}}, "did you mean 'synthetic'"),
        ({"train": {"protocols": ["loo"]}}, "unknown protocol 'loo'"),
        ({"model": {"loss": "bcf"}}, "unknown loss 'bcf'; did you mean 'bce'"),
    ],
)
def test_unknown_names(recipe, tmp_path, change, message):
    with pytest.raises(UnknownNameError, match=message):
        train({**recipe("sasrec"), **change}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_options_of_a_loss(recipe, tmp_path):
    model = {"loss": "bce", "loss_options": {"negative": 3}}
    with pytest.raises(ConfigError, match=r"did you mean 'model\.loss_options\.negatives'"):
        train(recipe("sasrec", model), tmp_path / "run")


@pytest.mark.parametrize("what", ["sasrec", None, 5])
def test_invalid_recipes(what, tmp_path):
    with pytest.raises(
        ConfigError, match=r"is .*, expected sections by name: architecture, .*seqzoo train FILE"
    ):
        train(what, tmp_path / "run")


def test_windows_that_are_all_context(recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"train\.context is 200; expected less than the \d+"):
        train(recipe("sasrec", context=200), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_metric_that_nothing_measures(recipe, tmp_path, heard):
    with pytest.raises(TrainingError, match=r"train\.metric is 'ndcg@7'.*hit@5, hit@10"):
        train(recipe("sasrec", metric="ndcg@7"), tmp_path / "run", reporter=heard)
    assert not heard.started
    assert not (tmp_path / "run").exists()


def test_everything_is_resolved(recipe):
    made = Recipe.make(recipe("mamba4rec"))
    assert made.model["state_size"] == 32
    assert made.model["hidden_size"] == 16
    assert made.train.patience == 10
    assert Recipe.make(made.to_dict()) == made


def test_a_recipe_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_recipe_file(tmp_path / "recipe.yaml")


def rates(epochs, **settings):
    config = TrainConfig(lr=2.0, epochs=10, **settings)
    return [learning_rate(config, epoch) for epoch in epochs]


def test_learning_rates():
    assert rates([0, 3.7, 9.99], schedule="constant") == [2.0, 2.0, 2.0]
    assert rates([0, 2.5, 5, 10], schedule="linear") == pytest.approx([2.0, 1.5, 1.0, 0.0])
    expected = [2.0, 1 + math.cos(math.pi / 4), 1.0, 0.0]
    assert rates([0, 2.5, 5, 10], schedule="cosine") == pytest.approx(expected)
    # After two epochs of rising the rest falls over the other eight.
    warm = rates([1, 2, 6, 10], schedule="linear", warmup=2.0)
    assert warm == pytest.approx([1.0, 2.0, 1.0, 0.0], rel=1e-3)
    assert 0 < rates([0], warmup=2.0)[0] < 0.01
    rising = rates([tenth / 10 for tenth in range(20)], warmup=2.0)
    assert rising == sorted(rising)


def test_the_rates_that_are_used(recipe, tmp_path, heard):
    train(recipe("sasrec", schedule="linear", epochs=4), tmp_path, reporter=heard)
    found = [record["lr"] for record in heard.records]
    assert found == pytest.approx([5e-3, 3.75e-3, 2.5e-3, 1.25e-3])


def test_weight_decay_is_for_matrices():
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2, bias=False))
    module[2].weight._no_weight_decay = True
    decayed, others = parameter_groups(module, 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert [id(value) for value in decayed["params"]] == [id(module[0].weight)]
    assert len(others["params"]) == 4
    torch.optim.AdamW([decayed, others])


def test_lines_of_a_terminal_reporter(recipe, tmp_path):
    with open(tmp_path / "said", "w+") as file:
        reporter = TerminalReporter(Console(file=file, width=100))
        train(recipe("sasrec", epochs=2), tmp_path / "run", reporter=reporter)
        file.seek(0)
        lines = file.read().splitlines()
    # Without a terminal there is no bar: two lines for the run, then one for each epoch.
    about, how, *lines = lines
    assert re.fullmatch(
        r"training sasrec \([\d,]+ parameters\) on synthetic: 80 users, 40 items, [\d,]+ "
        "interactions",
        about,
    )
    assert re.fullmatch(r"up to 2 epochs; 1 process on cpu, \d+ threads?", how)
    assert len(lines) == 2
    assert lines[0].startswith("epoch   1  loss 3.")
    assert "valid NDCG@10 0." in lines[0]
    assert lines[0].endswith("best so far")


def test_the_bar_of_a_terminal_shows_only_what_is_known():
    """No loss and no rate before the first batch, and a continued run says where it is."""
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, color_system=None)
    with TerminalReporter(console) as reporter:
        reporter.begin(RunFacts("sasrec", 1, "shop", 2, 3, 4, 5, 1, 2, 1, "cpu"))
        reporter.start(2, 5, 2)
        reporter._bar.refresh()
        assert "loss" not in file.getvalue()
        assert "0/s" not in file.getvalue()
        reporter.batch(0.25, 1234.0)
        reporter._bar.refresh()
        assert "loss 0.250 1,234/s" in file.getvalue()
    assert "continuing after epoch 1; 2 processes on cpu, 1 thread each" in file.getvalue()


MIXED = """
import json, sys
from seqzoo.errors import TrainingError
from seqzoo.training.loop import train

first, second, whole = json.loads(sys.argv[1])
for number, recipe in enumerate((first, second)):
    print(json.dumps(train(recipe, f"{sys.argv[2]}/{number}").metrics["loo-full"]["ndcg@10"]))
try:
    train(whole, f"{sys.argv[2]}/other")
except TrainingError as error:
    print(error)
"""


def test_mixed_precision(finished, recipe, tmp_path):
    """In a process of its own: accelerate has one precision for each."""
    recipes = [
        recipe("mamba4rec", precision="bf16"),
        recipe("sasrec", precision="bf16"),
        recipe("sasrec"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", MIXED, json.dumps(recipes), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *found, refused = done.stdout.splitlines()
    for number, (architecture, value) in enumerate(
        zip(("mamba4rec", "sasrec"), found, strict=True)
    ):
        result, _ = finished(architecture)
        one, other = (
            SequenceModel.from_pretrained(out) for out in (result.out, tmp_path / str(number))
        )
        # All is kept in float32, and moved away from what float32 alone gives.
        for (name, single), mixed in zip(
            one.state_dict().items(), other.state_dict().values(), strict=True
        ):
            assert mixed.dtype == torch.float32
            assert 0 < (single - mixed).abs().max() < 0.1, name
        # bf16 has 8 bits: other gradients, so other weights, but a model of equal quality.
        assert float(value) == pytest.approx(result.metrics["loo-full"]["ndcg@10"], abs=0.1)
    assert "train.precision=no cannot be used in this process" in refused
    assert "start a new process" in refused
