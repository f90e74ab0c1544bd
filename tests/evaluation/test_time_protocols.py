"""Measuring and comparing under protocols that cut by time, against plain loops."""

import numpy as np
import polars as pl
import pytest
import torch

from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import Interactions
from seqzoo.data.time_split import TimeSplit
from seqzoo.errors import ConfigError, DataError, UsageError
from seqzoo.evaluation.compare import compare
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.evaluation.significance import bootstrap_means, interval
from seqzoo.interfaces import SequenceBatch
from seqzoo.plugins import catalogue
from seqzoo.specs import ProtocolSpec

ALL = {"min_count": 1}


@torch.inference_mode()
def plain_gains(model, interactions, *, remove_seen, window, share, targets):
    """Reciprocal ranks within 10 by user and target; a tie takes each of its ranks equally often.

    The targets are found from the table, user by user, and scored one by one.
    """
    model.eval()
    rows = sorted(interactions.frame.with_row_index().iter_rows(), key=lambda row: (row[3], row[0]))
    moments = sorted(row[3] for row in rows)
    begins = moments[len(moments) - int(np.ceil(share * len(moments)))]
    found = {}
    for user in dict.fromkeys(interactions.frame["user"]):
        events = [(row[3], row[2]) for row in rows if row[1] == user]
        late = [place for place, (when, _) in enumerate(events) if when >= begins]
        chosen = {"last": late[-1:], "first": late[:1], "each": late}[targets]
        for place in chosen:
            before, target = [item for _, item in events[:place]], events[place][1]
            if not before:
                continue
            gain = 0.0
            known = [item for item in before if item in model.vocabulary]
            if target in model.vocabulary and known:
                indices = [model.vocabulary.index(item) for item in known[-window:]]
                batch = SequenceBatch(torch.tensor([indices]), torch.tensor([len(indices)]))
                scores = model.head(model.last(batch)).float()[0].tolist()
                wanted = scores[model.vocabulary.index(target)]
                others = [
                    scores[model.vocabulary.index(item)]
                    for item in model.vocabulary.items
                    if item != target and not (remove_seen and item in before)
                ]
                better, tied = sum(s > wanted for s in others), 1 + sum(s == wanted for s in others)
                ranks = range(better + 1, better + tied + 1)
                gain = sum(1 / rank for rank in ranks if rank <= 10) / tied
            found.setdefault(user, []).append(gain)
    return found


@pytest.mark.parametrize("protocol", ["time-full", "time-full-unseen"])
@pytest.mark.parametrize("targets", ["last", "first", "each"])
def test_metrics_against_plain_loops(interactions, make, plain, protocol, targets):
    # Some items and so some targets are unknown to the model.
    histories = {user: items[:6] for user, items in list(plain.histories(interactions).items())[:9]}
    model = make(histories)
    found = evaluate(
        model, interactions, protocol, settings={**ALL, "split": {"targets": targets}}, batch_size=7
    )
    unseen = protocol.endswith("unseen")
    expected = plain_gains(
        model, interactions, remove_seen=unseen, window=7, share=0.1, targets=targets
    )
    flat = [gain for gains in expected.values() for gain in gains]
    assert (found.users, found.targets) == (len(expected), len(flat))
    assert (targets == "each") == (found.targets > found.users)
    assert 0 < found.known_targets["targets"] < found.targets
    assert found.metrics["mrr@10"] == pytest.approx(np.mean(flat), abs=1e-9)
    split = found.data["split"]
    assert (split["targets"], split["users"]) == (found.targets, found.users)
    sequences = build_sequences(interactions).sequences
    assert split["begins"] == TimeSplit().moments(sequences)[1]


def test_intervals_draw_users_with_all_of_their_targets(interactions, make, plain):
    histories = plain.histories(interactions)
    models = {"one": make(histories), "two": make(histories, "gru4rec")}
    settings = {**ALL, "split": {"targets": "each", "share": 0.3}}
    found = compare(models, interactions, "time-full", metric="mrr@10", settings=settings,
        resamples=300)  # fmt: skip
    gains = [
        plain_gains(model, interactions, remove_seen=False, window=7, share=0.3, targets="each")
        for model in models.values()
    ]
    users = list(gains[0])
    sums = np.array([[sum(own[user]) for own in gains] for user in users])
    counts = np.array([[len(gains[0][user])] for user in users], dtype=float)
    assert found.users == len(users) < found.models[0].targets == counts.sum()
    drawn = bootstrap_means(np.hstack([sums, counts]), 300, 0)
    means = drawn[:, :2] / drawn[:, 2:]
    for index, model in enumerate(found.models):
        assert model.metrics["mrr@10"] == pytest.approx(sums[:, index].sum() / counts.sum())
        assert model.interval["mrr@10"] == pytest.approx(interval(means[:, index]))
    (pair,) = found.pairs
    assert pair.difference == pytest.approx(
        found.models[0].metrics["mrr@10"] - found.models[1].metrics["mrr@10"]
    )
    assert found.data["split"]["settings"]["targets"] == "each"


def test_models_that_were_split_otherwise_are_not_compared(interactions, make, plain):
    models = {name: make(plain.histories(interactions)) for name in ("one", "two")}
    for share, model in zip((0.1, 0.2), models.values(), strict=True):
        model.recipe = {
            "data": {"min_count": 1, "split": {"share": share}},
            "train": {"protocols": ["time-full"]},
        }
    with pytest.raises(UsageError, match=r"one and two .*different targets.*give --split"):
        compare(models, interactions, "time-full", resamples=5)
    same = {"split": {"share": 0.2}}
    assert compare(models, interactions, "time-full", settings=same, resamples=5).users > 0


def test_timestamps_matter_to_a_model_that_reads_none(interactions, make, plain, caplog):
    model = make(plain.histories(interactions))
    model.metrics = {"time-full": evaluate(model, interactions, "time-full").record(0)}
    frame = interactions.frame.with_columns(pl.col("order") + 1)
    later = Interactions.from_frame(frame, name="later")
    assert evaluate(model, later, "time-full").data["match"] == "timestamps"
    assert "the timestamps, which matter here, differ from those" in caplog.text
    model.metrics = {"loo-full": evaluate(model, interactions).record(0)}
    assert evaluate(model, later).data["match"] == "same"


def test_a_protocol_of_a_plugin_with_settings_of_the_split(interactions, make, plain):
    model = make(plain.histories(interactions))
    settings = {"split": "time", "split_settings": {"share": 0.3, "targets": "each"}}
    spec = ProtocolSpec("later", "tests", settings)
    with catalogue().protocols.lend(spec):
        whole = evaluate(model, interactions, "later", settings=ALL)
        first = evaluate(
            model, interactions, "later", settings={**ALL, "split": {"targets": "first"}}
        )
    assert whole.data["split"]["settings"] == {"share": 0.3, "at": None, "targets": "each"}
    assert first.data["split"]["settings"] == {"share": 0.3, "at": None, "targets": "first"}
    assert whole.data["split"]["begins"] == first.data["split"]["begins"]
    wrong = ProtocolSpec("wrong", "tests", {"split": "tmie"})
    with (
        catalogue().protocols.lend(wrong),
        pytest.raises(ConfigError, match="protocol 'wrong': unknown split 'tmie'; did you mean"),
    ):
        evaluate(model, interactions, "wrong")


def test_data_without_times(interactions, make, plain):
    model = make(plain.histories(interactions))
    order = Interactions.from_frame(interactions.frame, has_times=False, name="shop")
    with pytest.raises(DataError, match="shop: a split by time needs timestamps"):
        evaluate(model, order, "time-full")
