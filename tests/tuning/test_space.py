"""Search spaces as data."""

import pytest

from seqzoo.errors import ConfigError
from seqzoo.plugins import catalogue
from seqzoo.testing.run import small_model
from seqzoo.tuning.space import (
    COMMON,
    Choice,
    Range,
    nested,
    parse_search,
    parse_space,
    space_of,
)


def test_ranges_and_choices():
    words = ["train.lr=1e-4..1e-2", "model.num_layers=1..4", "model.dropout=.1...6"]
    words += ["model.gru_size=[16, 32]", "model.initialisation=[normal, xavier]"]
    space = parse_space(parse_search(words))
    assert space == {
        "train.lr": Range(1e-4, 1e-2, log=True),
        "model.num_layers": Range(1, 4),
        "model.dropout": Range(0.1, 0.6),
        "model.gru_size": Choice((16, 32)),
        "model.initialisation": Choice(("normal", "xavier")),
    }
    assert space["model.num_layers"].whole
    assert not space["train.lr"].whole
    assert 2 in space["model.num_layers"]
    assert 2.5 not in space["model.num_layers"]
    assert True not in Choice((1, 2))
    assert 1e-4 in space["train.lr"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.lr", "is not of the form SETTING=RANGE"),
        ("data.min_count=1..5", "expected a setting of model or train"),
        ("lr=1..2", "expected a setting of model or train"),
        ("train.lr=0.1", "expected a range such as"),
        ("train.lr=a..b", "expected a range such as"),
        ("train.lr=1e-2..1e-4", "a start that is less than the end"),
        ("train.lr=1e-4..inf", "a start that is less than the end"),
        ("train.lr=[]", "all different"),
        ("train.lr=[1, 1]", "all different"),
        ("train.lr=[{a: 1}]", "all different"),
    ],
)
def test_invalid_spaces_are_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        parse_space(parse_search([word]))


def test_the_users_entries_take_the_place_of_declared_ones():
    space = space_of("gru4rec", {"model.gru_size": [16, 32]}, {"model": {"hidden_size": 16}})
    assert space["model.gru_size"] == Choice((16, 32))
    assert "model.hidden_size" not in space
    assert set(COMMON) < set(space)
    with pytest.raises(ConfigError, match="both searched and fixed"):
        space_of("gru4rec", {"train.lr": "1e-4..1e-2"}, {"train": {"lr": 1e-3}})
    everything = {"train": dict.fromkeys(["lr", "batch_size"]), "model": {}}
    for key in catalogue().architectures.get("sasrec").search:
        everything["model"][key.removeprefix("model.")] = 1
    with pytest.raises(ConfigError, match="nothing is left to search"):
        space_of("sasrec", {}, everything)


@pytest.mark.parametrize("spec", list(catalogue().architectures), ids=lambda spec: spec.name)
def test_every_declared_space_names_settings_that_can_be_built(spec):
    space = parse_space(spec.search)
    assert space or spec.baseline
    for key, entry in space.items():
        for value in entry.ends:
            small_model(spec.name, **nested({key: value})["model"])
