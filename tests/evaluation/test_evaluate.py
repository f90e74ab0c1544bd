import json
import logging
import subprocess
import sys

import polars as pl
import pytest

from seqzoo import evaluation
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
    assert set(record["data"]) == {"name", "fingerprint", "fingerprints"}


def test_evaluation_changes_nothing(model, interactions):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once, again = evaluate(model, interactions), evaluate(model, interactions)
    assert once.metrics == again.metrics
    for name, value in model.state_dict().items():
        assert value.equal(before[name])


def test_evaluation_keeps_the_mode_of_every_module(model, interactions):
    expected = evaluate(model, interactions).metrics
    model.train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    assert evaluate(model, interactions).metrics == expected
    assert [module.training for module in model.modules()] == modes


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


def test_stored_metrics_and_drift(model, interactions, caplog):
    found = evaluate(model, interactions)
    stored = found.record(seed=0)
    model.metrics = {"loo-full": stored}
    again = evaluate(model, interactions)
    assert again.stored == found.metrics
    assert again.drift == {}
    assert evaluate(model, interactions, "loo-full-unseen").stored == {}
    moved = dict(found.metrics)
    moved["hit@10"] += 0.9 * TOLERANCE
    moved["mrr@5"] -= 1.1 * TOLERANCE
    model.metrics = {"loo-full": {**stored, "metrics": moved}}
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
    assert (found.data["unknown_interactions"], found.data["unknown_targets"]) == (2, 0)
    assert found.data["stored"]["name"] == "synthetic"
    text = caplog.text
    assert "the data differ from those of the stored metrics (synthetic)" in text
    assert "does not know the items of 2 interactions" in text
    assert "miss" not in text


LATER = 2**40


def newer(interactions, users, item):
    """The interactions, and one more with an item after all others for some users."""
    rows = {"user": users, "item": [item] * len(users), "order": [LATER] * len(users)}
    return Interactions.from_frame(pl.concat([interactions.frame, pl.DataFrame(rows)]))


@pytest.mark.parametrize("protocol", ["loo-full", "loo-full-unseen"])
def test_a_new_item_that_was_bought_is_a_miss(model, interactions, plain, caplog, protocol):
    """A model must not look good because it does not know what came after it."""
    bought = list(dict.fromkeys(interactions.frame["user"]))[::3]
    after = newer(interactions, bought, "new")
    with caplog.at_level(logging.WARNING, "seqzoo"):
        found = evaluate(model, after, protocol, settings={"min_count": 1}, batch_size=17)
    assert found.users == 100
    assert found.data["unknown_interactions"] == found.data["unknown_targets"] == len(bought)
    assert f"the held-out item of {len(bought)} of 100 users, which counts as a miss" in caplog.text
    unseen = protocol == "loo-full-unseen"
    ranks = plain.ranks(model, plain.histories(after), remove_seen=unseen, window=7)
    assert ranks.count(None) == len(bought)
    assert found.metrics == pytest.approx(plain.metrics(ranks), abs=1e-12)
    known = [rank for rank in ranks if rank is not None]
    assert found.known_targets["users"] == len(known) == 100 - len(bought)
    assert found.known_targets["metrics"] == pytest.approx(plain.metrics(known), abs=1e-12)
    # The item before the new one is history now, and no target.
    before = evaluate(model, interactions, protocol, settings={"min_count": 1})
    assert found.metrics["hit@10"] < before.metrics["hit@10"]
    assert before.known_targets == {"users": 100, "targets": 100, "metrics": before.metrics}


def test_new_items_in_histories_alone_change_no_target(model, interactions, plain):
    rows = [(user, "new", -1) for user in dict.fromkeys(interactions.frame["user"])]
    frame = pl.concat([pl.DataFrame(rows, interactions.frame.schema, orient="row"),
        interactions.frame])  # fmt: skip
    found = evaluate(model, Interactions.from_frame(frame), settings={"min_count": 1})
    assert (found.data["unknown_interactions"], found.data["unknown_targets"]) == (100, 0)
    assert found.metrics == evaluate(model, interactions, settings={"min_count": 1}).metrics


def test_a_history_without_a_known_item_is_a_miss(model):
    known = model.vocabulary.items[0]
    rows = [("reader", known, 1), ("reader", known, 2), ("reader", known, 3)]
    rows += [("stranger", "a", 1), ("stranger", "b", 2), ("stranger", known, 3)]
    frame = pl.DataFrame(rows, schema=["user", "item", "order"], orient="row")
    found = evaluate(model, Interactions.from_frame(frame), settings={"min_count": 1})
    alone = Interactions.from_frame(frame.head(3))
    half = evaluate(model, alone, settings={"min_count": 1}).metrics["hit@50"] / 2
    assert half > 0
    assert (found.users, found.known_targets["users"]) == (2, 2)
    assert found.metrics["hit@50"] == half
    assert found.data["unknown_targets"] == 0


def test_only_new_items_were_bought(model):
    known = model.vocabulary.items[0]
    rows = [("u", known, 1), ("u", known, 2), ("u", "new", 3)]
    frame = pl.DataFrame(rows, schema=["user", "item", "order"], orient="row")
    found = evaluate(model, Interactions.from_frame(frame), settings={"min_count": 1})
    assert set(found.metrics.values()) == {0.0}
    misses = dict.fromkeys(found.metrics, 0.0)
    assert found.known_targets == {"users": 0, "targets": 0, "metrics": misses}


def test_unknown_names(model, interactions):
    with pytest.raises(
        UnknownNameError, match=r"unknown protocol 'loo-ful'; did you mean 'loo-ful"
    ):
        evaluate(model, interactions, "loo-ful")
    with pytest.raises(UnknownNameError, match="did you mean 'synthetic'"):
        evaluate(model, "sinthetic")


def test_too_short_histories(model, interactions):
    frame = interactions.frame.group_by("user", maintain_order=True).head(2)
    with pytest.raises(DataError, match="needs users with 3 interactions or more"):
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


def test_the_package_has_the_names_of_the_docs_and_imports_no_torch_for_them():
    code = (
        "import sys\n"
        "from seqzoo.evaluation import Protocol, get_protocol\n"
        "assert get_protocol('loo-full') == Protocol('loo-full')\n"
        "assert 'torch' not in sys.modules\n"
        "from seqzoo.evaluation import Comparison, Evaluation\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Protokol'"):
        evaluation.Protokol  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": "sampled"}, "candidates 'sampled'; expected 'all'"),
        ({"ties": "best"}, "ties 'best'; expected 'half'"),
        ({"remove_sen": True}, "remove_sen'; did you mean .*remove_seen"),
        ({"cutoffs": "many"}, "cutoffs"),
    ],
)
def test_protocols_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        structure(Protocol, {"name": "mine", **settings}, "protocol 'mine'")
