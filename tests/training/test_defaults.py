"""Data-dependent settings: what is chosen, what the user's settings keep, what is stored."""

from dataclasses import replace

import pytest

from seqzoo.checkpoint.manifest import read_manifest, read_recipe
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.errors import PluginError, TrainingError
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec
from seqzoo.training.defaults import adapted
from seqzoo.training.loop import train
from seqzoo.training.recipe import Recipe

TABLE = [
    {"user": f"u{user}", "item": f"i{(user * 3 + time * (1 + user % 2)) % 30}", "time": time}
    for user in range(40)
    for time in range(8)
]
"""Short histories without repeats."""


@pytest.fixture(scope="module")
def data():
    return prepare(DataConfig(source="synthetic", min_count=1, options={"users": 30}))


def described(data, rows=100_000, p90=20.0, repeats=0.0):
    summary = data.summaries[-1]
    spread = {**summary.events_per_user, "p90": p90}
    changed = replace(summary, rows=rows, repeats=repeats, events_per_user=spread)
    return replace(data, summaries=(*data.summaries[:-1], changed))


def recipe(architecture="sasrec", **sections):
    return Recipe.make({"architecture": architecture, "data": {"source": "synthetic"}, **sections})


@pytest.mark.parametrize(
    ("rows", "p90", "length", "windows"),
    [
        (1_000, 20.0, 50, 2),
        (1_000, 240.0, 200, 1),
        (48_000, 20.0, 50, 4),
        (96_000, 20.0, 50, 8),
        (100_000, 20.0, 50, 8),
        (100_000, 50.0, 50, 8),
        (100_000, 51.0, 100, 4),
        (100_000, 240.0, 200, 2),
        (1_000_000, 400.0, 200, 8),
        (10_000_000, 20.0, 50, 256),
        (1_000_000_000, 400.0, 200, 256),
    ],
)
def test_windows_and_batches_follow_the_histories(data, rows, p90, length, windows):
    made, chosen = adapted(recipe(), described(data, rows, p90))
    assert (made.model["max_length"], made.train.batch_size) == (length, windows)
    reasons = {each.setting: each.reason for each in chosen}
    assert ("model.max_length" in reasons) == (length < 200)
    assert f"{rows:,} events" in reasons["train.batch_size"]
    assert all(str(each).startswith(f"{each.setting}={each.value}") for each in chosen)


def test_what_is_given_stays(data):
    asked = recipe(
        model={"max_length": 200, "dropout": 0.5, "attention_dropout": 0.3},
        train={"batch_size": 32, "protocols": ["loo-full"], "lr": 1e-3, "warmup": 0.0},
    )
    made, chosen = adapted(asked, described(data))
    assert (made.model, made.train, chosen) == (asked.model, asked.train, [])
    off = recipe(train={"adapt": False})
    assert adapted(off, described(data)) == (off, [])
    baseline = recipe("markov")
    assert adapted(baseline, described(data)) == (baseline, [])


def test_windows_stay_for_an_architecture_that_declares_nothing(data):
    with _declaring({}):
        asked = recipe("declaring")
        made, chosen = adapted(asked, described(data, repeats=0.5))
    assert (made.model, made.train, chosen) == (asked.model, asked.train, [])


@pytest.mark.parametrize("architecture", ["esasrec", "fuxi-linear", "hstu", "tisasrec"])
def test_rates_that_were_measured_on_short_histories_only(data, architecture):
    rates = []
    for mean in (49.0, 50.0):
        summary = data.summaries[-1]
        spread = {**summary.events_per_user, "mean": mean}
        long = replace(summary, events_per_user=spread)
        made, _ = adapted(recipe(architecture), replace(data, summaries=(long,)))
        rates.append(made.train.lr)
    assert rates == [2e-3, 1e-3]


def test_runs_are_selected_without_seen_items_where_nothing_repeats(data):
    once, _ = adapted(recipe(), described(data))
    assert once.train.protocols == ["loo-full-unseen", "loo-full"]
    again, _ = adapted(recipe(), described(data, repeats=0.1))
    assert again.train.protocols == ["loo-full", "loo-full-unseen"]


def test_a_run_stores_what_was_chosen_and_why_and_its_recipe_repeats_it(tmp_path, caplog):
    small = {"hidden_size": 8, "num_layers": 1}
    asked = {
        "architecture": "sasrec",
        "model": small,
        "data": {"min_count": 1},
        "train": {"epochs": 1, "baselines": False},
    }
    with caplog.at_level("INFO"):
        train(asked, tmp_path / "run", data=TABLE)
    assert "chosen from the data: model.max_length=50 (nine of ten users have at most 8" in (
        caplog.text
    )
    stored = read_recipe(read_manifest(tmp_path / "run"))
    assert stored["model"]["max_length"] == stored["chosen"]["model.max_length"]["value"] == 50
    assert stored["train"]["protocols"][0] == "loo-full-unseen"
    train(stored, tmp_path / "again", data=TABLE)
    for name in ("model.safetensors", "recipe.yaml", "metrics.json"):
        once, twice = ((tmp_path / run / name).read_bytes() for run in ("run", "again"))
        assert once == twice
    changed = {**stored, "model": {**stored["model"], "max_length": 40}}
    assert "model.max_length" not in Recipe.make(changed, TABLE).chosen
    # The same command resumes with what it holds; other settings are named.
    assert train(asked, tmp_path / "run", data=TABLE).metrics
    with pytest.raises(TrainingError, match=r"model\.max_length is 50 there and 200 here"):
        train({**asked, "model": {**small, "max_length": 200}}, tmp_path / "run", data=TABLE)


ENTRY = {"by": "rows", "below": [[50, 0.4], [500, 0.3]], "else": 0.1}


@pytest.mark.parametrize(
    ("entry", "rows", "value"),
    [(0.25, 1, 0.25), (ENTRY, 49, 0.4), (ENTRY, 50, 0.3), (ENTRY, 500, 0.1)],
)
def test_what_an_architecture_declares(data, entry, rows, value):
    with _declaring({"model.dropout": entry}):
        made, _ = adapted(recipe("declaring"), described(data, rows))
    assert made.model["dropout"] == value


def test_what_an_architecture_declares_comes_before_windows_and_batches(data):
    with _declaring({"train.batch_size": 3, "model.max_length": 200}):
        made, chosen = adapted(recipe("declaring"), described(data))
    assert (made.train.batch_size, made.model["max_length"]) == (3, 200)
    assert [each.setting for each in chosen] == ["train.batch_size", "train.protocols"]


@pytest.mark.parametrize("entry", [{"by": "rows"}, {**ENTRY, "by": "size"}, {**ENTRY, "below": 3}])
def test_a_declaration_that_cannot_be_read(data, entry):
    with (
        _declaring({"model.dropout": entry}),
        pytest.raises(PluginError, match="architecture 'declaring' declares from_data for model"),
    ):
        adapted(recipe("declaring"), described(data))


@pytest.mark.parametrize(
    ("architecture", "rows", "expected"),
    [
        ("gru4rec", 100_000, {"train.lr": 3e-3, "model.embedding_norm": "after-dropout"}),
        ("narm", 100_000, {"model.output_dropout": 0.5, "model.embedding_norm": "after-dropout"}),
        ("narm", 500_000, {"model.output_dropout": 0.1, "model.dropout": 0.1}),
        ("hstu", 100_000, {"train.lr": 2e-3, "train.warmup": 1.0, "model.dropout": 0.2}),
        ("hstu", 500_000, {"train.lr": 2e-3, "train.warmup": 1.0, "model.dropout": 0.1}),
        ("fuxi-linear", 100_000, {"train.lr": 2e-3, "train.warmup": 1.0}),
        ("lrurec", 100_000, {"train.lr": 2e-3, "model.recurrent_dropout": 0.2}),
        ("lrurec", 500_000, {"train.lr": 2e-3, "model.recurrent_dropout": 0.1}),
        ("elastic", 100_000, {"train.lr": 2e-3, "train.warmup": 1.0, "model.dropout": 0.3}),
        ("tisasrec", 100_000, {"train.lr": 2e-3, "train.warmup": 1.0}),
        ("ssd4rec", 499_999, {"train.lr": 2e-3, "model.dropout": 0.2}),
        ("tim4rec", 499_999, {"train.lr": 2e-3, "model.dropout": 0.2}),
        ("tim4rec", 500_000, {"train.lr": 3e-3, "model.dropout": 0.2}),
        ("mamba4rec", 100_000, {"train.lr": 2e-3, "model.dropout": 0.4, "model.num_layers": 2}),
        ("mamba4rec", 500_000, {"train.lr": 2e-3, "model.dropout": 0.1, "model.num_layers": 2}),
    ],
)
def test_the_settings_that_were_measured(data, architecture, rows, expected):
    made, chosen = adapted(recipe(architecture), described(data, rows, p90=20.0))
    sections = made.to_dict()
    for setting, value in expected.items():
        section, _, key = setting.partition(".")
        assert sections[section][key] == value, setting
    # All of them get windows and batches that fit the histories.
    windows = {100_000: 8, 499_999: 17, 500_000: 17}[rows]
    assert (made.model["max_length"], made.train.batch_size) == (50, windows)
    assert "model.max_length" in {each.setting for each in chosen}


def _declaring(from_data):
    spec = ArchitectureSpec(
        "declaring", "tests", "item-position", "sasrec", "tied-softmax", from_data=from_data
    )
    return catalogue().architectures.lend(spec)
