import json
import logging

import polars as pl
import pytest

from seqzoo.config import structure
from seqzoo.data.interactions import Interactions
from seqzoo.errors import ConfigError, DataError, UnknownNameError
from seqzoo.evaluation.evaluate import TOLERANCE, evaluate
from seqzoo.evaluation.protocol import Protocol, get_protocol
from seqzoo.plugins import catalogue


@pytest.fixture
def model(interactions, make, plain):
    return make(plain.histories(interactions))


def test_what_comes_back(model, interactions):
    found = evaluate(model, interactions, name="mine", settings={"min_count": 1})
    assert (found.model, found.protocol, found.users) == ("mine", "loo-full", 100)
    assert found.items == len(model.vocabulary)
    assert list(found.metrics) == [
        f"{name}@{cutoff}" for name in ("hit", "ndcg", "mrr") for cutoff in (5, 10, 20, 50)
    ]
    assert (found.stored, found.drift) == ({}, {})
    assert found.data["name"] == "synthetic"
    assert found.data["fingerprint"].startswith("sha256:")
    assert found.data["unknown_interactions"] == 0
    assert found.environment["dtype"] == "float64"
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    assert evaluate(model, interactions).model == "sasrec"
    record = found.record(seed=3)
    assert record["metrics"] == found.metrics
    assert (record["seed"], record["users"], record["items"]) == (3, 100, found.items)
    assert set(record["data"]) == {"name", "fingerprint"}


def test_evaluation_changes_nothing(model, interactions):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once, again = evaluate(model, interactions), evaluate(model, interactions)
    assert once.metrics == again.metrics
    for name, value in model.state_dict().items():
        assert value.equal(before[name])


def test_data_by_name_with_the_recipes_options(make, plain, interactions):
    """The recipe says how the generated data are made; the caller may say otherwise."""
    model = make(plain.histories(interactions))
    options = {"users": 100, "items": 60, "mean_length": 15}
    model.recipe = {"data": {"source": "synthetic", "min_count": 1, "options": options}}
    by_name, given = evaluate(model, "synthetic"), evaluate(model, interactions)
    assert by_name.metrics == given.metrics
    assert by_name.data["fingerprint"] == given.data["fingerprint"]
    fewer = evaluate(model, "synthetic", settings={"options": {**options, "users": 50}})
    assert fewer.users == 50


def test_filter_is_the_recipes(make, plain, interactions):
    model = make(plain.histories(interactions, 12))
    model.recipe = {"data": {"min_count": 12}}
    kept = plain.histories(interactions, 12)
    assert 3 < len(kept) < 100
    assert evaluate(model, interactions).users == len(kept)
    assert evaluate(model, interactions, settings={"min_count": 1}).users > len(kept)


def test_stored_figures_and_drift(model, interactions, caplog):
    found = evaluate(model, interactions)
    stored = found.record(seed=0)
    model.metrics = {"loo-full": stored}
    again = evaluate(model, interactions)
    assert again.stored == found.metrics
    assert again.drift == {}
    assert evaluate(model, interactions, "loo-full-unseen").stored == {}
    figures = dict(found.metrics)
    figures["hit@10"] += 0.9 * TOLERANCE
    figures["mrr@5"] -= 1.1 * TOLERANCE
    model.metrics = {"loo-full": {**stored, "metrics": figures}}
    assert evaluate(model, interactions).drift == {
        "mrr@5": pytest.approx(1.1 * TOLERANCE, abs=1e-12)
    }
    assert not caplog.records


def test_other_data_are_named(model, interactions, caplog):
    model.metrics = {"loo-full": evaluate(model, interactions).record(seed=0)}
    frame = pl.concat(
        [
            interactions.frame,
            pl.DataFrame({"user": ["u1", "u1"], "item": ["new", "newer"], "order": [5, 6]}),
        ]
    )
    with caplog.at_level(logging.WARNING, "seqzoo"):
        found = evaluate(model, Interactions.from_frame(frame), settings={"min_count": 1})
    assert found.data["unknown_interactions"] == 2
    assert found.data["stored"]["name"] == "synthetic"
    text = caplog.text
    assert "not the data of the stored figures (synthetic)" in text
    assert "2 interactions with items the model does not know" in text


def test_unknown_names(model, interactions):
    with pytest.raises(
        UnknownNameError, match=r"unknown protocol 'loo-ful'; did you mean 'loo-ful"
    ):
        evaluate(model, interactions, "loo-ful")
    with pytest.raises(UnknownNameError, match="did you mean 'synthetic'"):
        evaluate(model, "sinthetic")


def test_too_short_histories(model, interactions):
    frame = interactions.frame.group_by("user", maintain_order=True).head(2)
    with pytest.raises(DataError, match="no user has 3 interactions or more"):
        evaluate(model, Interactions.from_frame(frame), settings={"min_count": 1})


def test_data_without_a_known_item(model):
    frame = pl.DataFrame({"user": ["u"] * 4, "item": list("abcd"), "order": [1, 2, 3, 4]})
    with pytest.raises(DataError, match="none of its 4 items"):
        evaluate(model, Interactions.from_frame(frame), settings={"min_count": 1})


def test_users_with_two_interactions_are_left_out(model, interactions):
    frame = interactions.frame
    first = frame["user"][0]
    short = pl.concat(
        [frame.filter(frame["user"] == first).head(2), frame.filter(frame["user"] != first)]
    )
    found = evaluate(model, Interactions.from_frame(short), settings={"min_count": 1})
    assert found.users == 99


def test_built_in_protocols():
    assert {"loo-full", "loo-full-unseen"} <= set(catalogue().protocols.names())
    assert not get_protocol("loo-full").remove_seen
    assert get_protocol("loo-full-unseen").remove_seen
    for name in ("loo-full", "loo-full-unseen"):
        protocol = get_protocol(name)
        assert (protocol.name, protocol.window, protocol.min_count) == (name, None, None)
        assert (protocol.candidates, protocol.ties, protocol.split) == (
            "all",
            "half",
            "leave-one-out",
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "random"}, "split 'random'; expected 'leave-one-out'"),
        ({"candidates": "sampled"}, "candidates 'sampled'; expected 'all'"),
        ({"ties": "best"}, "ties 'best'; expected 'half'"),
        ({"remove_sen": True}, "remove_sen'; did you mean .*remove_seen"),
        ({"cutoffs": "many"}, "cutoffs"),
    ],
)
def test_protocols_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        structure(Protocol, {"name": "mine", **settings}, "protocol 'mine'")
