"""Training under the split by time: nothing is learned from what comes after the cut."""

import json
import logging
from collections import Counter

import polars as pl
import pytest

from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.errors import ConfigError, DataError, TrainingError
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.evaluation.verify import verify_metrics
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import train

PROTOCOLS = ["time-full", "time-full-unseen"]
DAY = 86_400
PAST, VALID, TEST = 10 * DAY, 20 * DAY, 30 * DAY
SPLIT = {"at": str(TEST), "share": 0.45}


def shop(turned=False):
    """In the past b follows a; from VALID on c follows it: nobody can know that before.

    A quarter of the users is of the past, a quarter of the time of validation and a half of the
    time of testing. With ``turned``, d follows a from VALID on.
    """
    # All items are known from the beginning, in one order.
    rows = [("u0", item, number) for number, item in enumerate("abcdxyz")]
    for user in range(120):
        begins = (PAST, VALID, TEST, TEST)[user % 4]
        follows = "b" if begins < VALID else "d" if turned else "c"
        shown = ["x", "a", follows, "y", "a", follows, "z"][user % 2 :]
        rows += [(f"u{user}", item, begins + 60 * place) for place, item in enumerate(shown)]
    return pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")


def settings(recipe, protocols, split=SPLIT, **train_settings):
    train_settings = {"epochs": 8, "lr": 2e-2, "protocols": protocols, **train_settings}
    data = {"source": "shop", "min_count": 1, "options": {}}
    if split is not None:
        data["split"] = split
    return recipe("sasrec", {"dropout": 0.0}, data, **train_settings)


def share_after_a(model, item):
    """The place of an item after x and a."""
    return [each.item for each in model.recommend(["x", "a"], k=7, exclude_seen=False)].index(item)


def test_a_model_cannot_profit_from_the_future(recipe, tmp_path, caplog):
    """A model that is trained on all but the last event of each user knows what follows a."""
    targets = {**SPLIT, "targets": "each"}
    result = train(settings(recipe, PROTOCOLS, targets), tmp_path / "time", data=shop())
    model = SequenceModel.from_pretrained(result.out)
    assert share_after_a(model, "b") == 0
    assert share_after_a(model, "c") > 1
    honest = evaluate(model, shop(), "time-full")
    leaky = train(settings(recipe, ["loo-full"], None), tmp_path / "loo", data=shop())
    knowing = SequenceModel.from_pretrained(leaky.out)
    assert share_after_a(knowing, "c") <= 1
    with caplog.at_level(logging.WARNING, "seqzoo"):
        found = evaluate(knowing, shop(), "time-full", settings={"split": targets})
    assert found.metrics["mrr@5"] > honest.metrics["mrr@5"] + 0.1
    assert "was trained under the split 'leave-one-out', and time-full tests" in caplog.text
    assert "events that are for testing here" in caplog.text


def test_events_after_the_cut_change_no_weight(recipe, tmp_path):
    one = settings(recipe, PROTOCOLS, {**SPLIT, "targets": "each"}, epochs=2)
    outs = [train(one, tmp_path / str(turned), data=shop(turned)).out for turned in (False, True)]
    logs = [json.loads((out / "training" / "progress.json").read_text())["epochs"] for out in outs]
    assert [each["loss"] for each in logs[0]] == [each["loss"] for each in logs[1]]
    # The best epoch is chosen by the validation part, which differs.
    assert [each["value"] for each in logs[0]] != [each["value"] for each in logs[1]]
    counts = [SequenceModel.from_pretrained(out).vocabulary.counts for out in outs]
    assert counts[0] == counts[1]


def test_counts_are_those_before_the_validation_part(recipe, tmp_path):
    result = train(settings(recipe, PROTOCOLS, epochs=1), tmp_path / "run", data=shop())
    vocabulary = SequenceModel.from_pretrained(result.out).vocabulary
    before = Counter(shop().filter(pl.col("timestamp") < VALID)["item"])
    assert dict(zip(vocabulary.items, vocabulary.counts, strict=True)) == dict(before)


def test_what_is_stored_is_measured_again(recipe, tmp_path, caplog):
    data = {"split": {"share": 0.15, "targets": "each"}}
    result = train(
        recipe("sasrec", {}, data, epochs=1, protocols=PROTOCOLS, baselines=False), tmp_path / "run"
    )
    model = SequenceModel.from_pretrained(result.out)
    assert model.recipe["data"]["split"] == {"share": 0.15, "targets": "each"}
    stored = json.loads((result.out / "metrics.json").read_text())
    assert list(stored) == PROTOCOLS
    for protocol in PROTOCOLS:
        # The settings of the split are those of the recipe.
        found = evaluate(model, "synthetic", protocol)
        assert found.metrics == pytest.approx(stored[protocol]["metrics"], abs=1e-9)
        assert found.stored == stored[protocol]["metrics"]
        assert (found.drift, found.data["match"]) == ({}, "same")
        assert found.data["split"] == stored[protocol]["split"]
        assert found.targets == stored[protocol]["split"]["targets"] > found.users
    assert [check.ok for check in verify_metrics(model, name="run")] == [True, True]
    assert not caplog.records
    other = evaluate(model, "synthetic", "time-full", settings={"split": {"share": 0.1}})
    assert other.data["match"] == "split"
    assert other.data["split"]["settings"]["targets"] == "each"
    assert "the settings of the split differ from those of the stored metrics" in caplog.text
    # Leave-one-out takes none of these settings; many of its tests were trained on.
    evaluate(model, "synthetic", "loo-full")
    assert "loo-full tests under the split 'leave-one-out'" in caplog.text
    card = (result.out / "README.md").read_text()
    assert "protocol `time-full`" in card
    assert "split time (share 0.15, targets each), test from" in card


def test_a_prepared_folder_gives_the_same(recipe, tmp_path, same_files):
    from seqzoo.data.prepared import write_prepared

    config = DataConfig("synthetic", 1, options=recipe()["data"]["options"])
    write_prepared(tmp_path / "prepared", prepare(config), config)
    settings_ = recipe(epochs=1, protocols=PROTOCOLS)
    whole = train(settings_, tmp_path / "whole")
    data = {"source": str(tmp_path / "prepared"), "min_count": 1}
    mapped = train({**settings_, "data": data}, tmp_path / "mapped")
    assert mapped.metrics == whole.metrics


@pytest.mark.parametrize("protocols", [["loo-full", "time-full"], ["time-full", "loo-full"]])
def test_protocols_that_leak_into_each_other(recipe, tmp_path, protocols):
    with pytest.raises(TrainingError, match=r"[\d,]+ events for testing that .* trains or"):
        train(settings(recipe, protocols, None), tmp_path / "run", data=shop())
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"protocols": ["loo-full"]}, ConfigError, "'leave-one-out' has no settings"),
        ({"split": {"sahre": 0.1}}, ConfigError, "did you mean 'data.split.share'"),
        ({"split": {"share": 0.99}}, DataError, "give a smaller"),
        ({"split": {"at": "2300-01-01"}}, DataError, "no event is at or after 2300-01-01"),
    ],
)
def test_settings_that_do_not_fit(recipe, tmp_path, changes, error, message):
    changes = {"protocols": PROTOCOLS, "split": {"share": 0.2}, **changes}
    with pytest.raises(error, match=message):
        train(
            settings(recipe, changes["protocols"], changes["split"]), tmp_path / "run", data=shop()
        )


def test_data_without_times(recipe, tmp_path):
    frame = shop().drop("timestamp")
    without = settings(recipe, PROTOCOLS)
    without["data"]["time_col"] = ""
    with pytest.raises(DataError, match="a split by time needs timestamps"):
        train(without, tmp_path / "run", data=frame)
