"""Query times, features and users: from files to training, recommendations and checkpoints."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import seqzoo
from seqzoo.data.batches import evaluation_batches, gather
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.splits import LeaveOneOut
from seqzoo.errors import SeqzooError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.reads import user_numbers
from seqzoo.serving.batch.run import recommend_file
from seqzoo.serving.service import requests as ask
from seqzoo.serving.service.served import _of_sessions
from seqzoo.testing import ConformanceError, check_model, check_registered, small_model

from .conftest import DEVICES, Rated, Waits, frame, recipe

CARDS = Path(__file__).parents[2] / "model_cards"
HISTORY = ["i1", "i2", "i3"]
TIMES = [1_000_000, 1_000_100, 1_000_200]
FEATURES = {"rating": [1, 5, 3], "device": ["phone", "tv", "fridge"]}


def test_training_evaluation_and_the_checkpoint(trained, tmp_path):
    assert trained.vocabulary.features == {"rating": None, "device": ("phone", "web", "tv")}
    assert trained.recipe["data"]["features"] == ["rating", "device"]
    measured = seqzoo.evaluate(trained, frame())
    assert measured.drift == {}
    # Other values of a feature are other histories, under the model's own codes.
    turned = frame().with_columns(pl.col("device").reverse(), pl.col("rating") * 3)
    assert seqzoo.evaluate(trained, turned).drift != {}
    again = frame().sort("user", "timestamp", descending=[True, False])
    assert seqzoo.evaluate(trained, again).metrics == pytest.approx(measured.metrics)
    trained.save_pretrained(tmp_path / "again")
    loaded = seqzoo.load(tmp_path / "again")
    given = {"timestamps": [TIMES], "features": [FEATURES], "users": ["ann"], "at": [2_000_000]}
    assert torch.equal(loaded.encode([HISTORY], **given), trained.encode([HISTORY], **given))


def test_the_card_says_for_which_time_the_metrics_were_measured(trained, tmp_path):
    card = (tmp_path / "run" / "README.md").read_text("utf-8")
    assert "measured with the time of the event that is predicted" in card
    other = (CARDS / "gru4rec-ml100k" / "README.md").read_text("utf-8")
    assert "measured with the time of" not in other


def test_the_vector_is_that_of_the_parts_by_hand(trained):
    batch = SequenceBatch(
        torch.tensor([[trained.vocabulary.index(item) for item in HISTORY]]),
        torch.tensor([3]),
        torch.tensor([TIMES]),
        torch.tensor([[*TIMES[1:], 1_000_900]]),
        {"rating": torch.tensor([[1.0, 5.0, 3.0]]), "device": torch.tensor([[1, 3, 0]])},
        torch.from_numpy(user_numbers(["ann"])),
    )
    with torch.no_grad():
        expected = trained.last(batch)
    found = trained.encode(
        [HISTORY], timestamps=[TIMES], features=[FEATURES], users=["ann"], at=[1_000_900]
    )
    torch.testing.assert_close(found, expected)
    at_once = trained.encode([HISTORY], timestamps=[TIMES], features=[FEATURES], users=["ann"])
    assert not torch.allclose(at_once, expected)
    best = trained.recommend(
        HISTORY, 3, timestamps=TIMES, features=FEATURES, user="ann", at=1_000_900
    )
    assert [each.item for each in best] == [
        each.item for each in trained.recommend_from(expected, 3, seen=[batch.items[0].tolist()])[0]
    ]


def test_unknown_items_take_their_features_with_them(trained):
    history = ["i1", "new", "i2", "i3"]
    features = {"rating": [1, 9, 5, 3], "device": ["phone", "web", "tv", "fridge"]}
    times = [TIMES[0], TIMES[0], *TIMES[1:]]
    given = {"users": ["ann"], "at": [1_000_900]}
    found = trained.encode([history], timestamps=[times], features=[features], **given)
    expected = trained.encode([HISTORY], timestamps=[TIMES], features=[FEATURES], **given)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": None}, r"reads the feature 'rating' of every event; give features="),
        ({"features": [{"rating": [1, 2, 3]}]}, "reads the feature 'device'"),
        ({"features": [{**FEATURES, "device": ["tv"]}]}, "'device' has 1 values for 3 items"),
        ({"features": [{**FEATURES, "rating": [1, "x", 3]}]}, "'rating' is a number of every"),
        (
            {"features": [{**FEATURES, "ratng": [1, 2, 3]}]},
            "no feature 'ratng'; did you mean",
        ),
        ({"features": [FEATURES, FEATURES]}, "features has 2 entries for 1 histories"),
        ({"users": None}, "reads who the user is; give users="),
        ({"timestamps": None}, "give timestamps= of the history as well"),
        ({"at": [1.5]}, "whole unix seconds"),
    ],
)
def test_what_is_missing_is_named(trained, change, message):
    given = {"timestamps": [TIMES], "features": [FEATURES], "users": ["ann"], "at": [1_000_900]}
    with pytest.raises(SeqzooError, match=message):
        trained.recommend_many([HISTORY], **{**given, **change})


def test_data_without_what_the_model_reads_are_refused(register, trained, tmp_path):
    with pytest.raises(SeqzooError, match=r"reads the feature 'rating' of every.*data.features"):
        seqzoo.train(
            {"architecture": "contextual", "data": {"min_count": 1}}, tmp_path / "x", data=frame()
        )
    with pytest.raises(SeqzooError, match=r"no column 'ratings' for data\.features; did you"):
        prepare(DataConfig(source="", features=["ratings"]), frame())
    bare = frame().drop("timestamp").with_row_index("position")
    with pytest.raises(SeqzooError, match="reads the time of the request"):
        seqzoo.train(recipe(), tmp_path / "y", data=bare)
    gaps = frame().with_columns(
        pl.when(pl.col("rating") > 1).then(pl.col("rating")).alias("rating")
    )
    with pytest.raises(SeqzooError, match="row 1: the feature 'rating' is None; expected a finite"):
        prepare(DataConfig(features=["rating"], min_count=1), gaps)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "inter", "tsv", "jsonl"])
def test_columns_are_read_from_files(tmp_path, suffix):
    path = tmp_path / f"log.{suffix}"
    table = frame().with_columns(pl.when(pl.col("device") != "tv").then(pl.col("device")))
    if suffix == "parquet":
        table.write_parquet(path)
    elif suffix == "jsonl":
        table.write_ndjson(path)
    elif suffix == "csv":
        table.write_csv(path)
    else:
        types = {"user": "token", "item": "token", "timestamp": "float", "rating": "float"}
        if suffix == "inter":
            table = table.rename({n: f"{n}:{types.get(n, 'token')}" for n in table.columns})
        table.write_csv(path, separator="\t")
    data = prepare(DataConfig(str(path), 1, features=["rating", "device"]))
    assert data.vocabulary.features == {"rating": None, "device": ("phone", "web")}
    sequences = data.sequences
    assert sequences.features["rating"].dtype == np.float32
    assert sequences.features["rating"][:10].tolist() == [1 + t % 5 for t in range(10)]
    wanted = [{"phone": 1, "web": 2, "tv": 0}[DEVICES[t % 3]] for t in range(10)]
    assert sequences.features["device"][10:20].tolist() == wanted


def test_training_windows_and_evaluation_ask_at_the_time_of_the_next_event(register):
    register()
    data = prepare(DataConfig(features=["rating", "device"], min_count=1), frame())
    model = seqzoo.SequenceModel.build("contextual", {}, data.vocabulary)
    sequences = model.reads.of_data(data, data.sequences)
    batch = gather(sequences, np.array([0, 12]), np.array([4, 8]))
    times = data.sequences.timestamps
    assert batch.query_times[0].tolist() == [*times[1:5], 0, 0, 0, 0]
    # The last event of a user has its own time, not that of somebody else.
    assert batch.query_times[1].tolist() == [*times[13:20], times[19]]
    assert batch.users.tolist() == user_numbers(["u0", "u1"]).tolist()
    split = LeaveOneOut().part(sequences, "test")
    for rows, found in evaluation_batches(sequences, split, 5, 64, torch.device("cpu")):
        newest = found.histories.gather_last(found.histories.query_times)
        assert newest.tolist() == times[split.target[rows]].tolist()


def test_other_models_pay_nothing(register):
    data = prepare(DataConfig(features=["rating"], min_count=1), frame())
    model = seqzoo.SequenceModel.build("gru4rec", {}, data.vocabulary)
    sequences = model.reads.of_data(data, data.sequences)
    batch = gather(sequences, np.array([0]), np.array([4]))
    assert (batch.query_times, batch.features, batch.users) == (None, {}, None)
    bare = prepare(DataConfig(min_count=1), frame())
    assert model.reads.of_data(bare, bare.sequences) is bare.sequences


def test_the_kit_passes_and_finds_faults(register):
    failed = [o for o in check_registered(register()) if not o.ok]
    assert not failed, failed

    class LooksAhead(Waits):
        def forward(self, hidden, batch):
            later = batch.query_times.roll(-1, 1).float().log1p()[..., None]
            return super().forward(hidden, batch) + later

    class Silent(Waits):
        def forward(self, hidden, batch):
            return self.mix(torch.cat([hidden.cumsum(1), hidden[..., :1]], -1))

    class Deaf(Rated):
        def forward(self, batch):
            return self.look_up(batch.items) + self.user_table[batch.users % 64][:, None]

    for parts, words in (
        ({"backbone": LooksAhead}, "another query time at position"),
        ({"backbone": Silent}, "uses_time is True, but|uses_query_time=True, but"),
        ({"embedder": Deaf}, r"uses_features=\('rating',\), but other values change nothing"),
    ):
        with pytest.raises(ConformanceError, match=words):
            check_model(small_model(register(**parts)))


def lists_of(table, users):
    """The columns ``item`` and ``timestamp`` of a table as lists, by user."""
    own = [table.filter(pl.col("user") == user) for user in users]
    return [[each[name].to_list() for each in own] for name in ("item", "timestamp")]


def test_files_and_requests_give_what_they_know(register, tmp_path):
    """A file names its users; neither it nor a request has features."""
    model = seqzoo.create(register(), num_items=12, columns=[]).eval()
    users = [f"u{u}" for u in range(6)]
    rows = [(u, str(1 + (n + t) % 12), 1_000 + 50 * t) for n, u in enumerate(users) for t in (0, 1)]
    table = pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")
    table.write_csv(tmp_path / "events.csv")
    recommend_file(model, tmp_path / "events.csv", tmp_path / "out.parquet", 3)
    histories, times = lists_of(table, users)
    expected = model.recommend_many(histories, 3, timestamps=times, users=users)
    found = pl.read_parquet(tmp_path / "out.parquet").with_columns(timestamp=0)
    assert lists_of(found, users)[0] == [[each.item for each in best] for best in expected]
    (refused,) = ask.recommend(model, [ask.RecommendRequest(histories, times)])
    assert "who the user is" in str(refused)

    waiting = seqzoo.create(register(), num_items=12, columns=[], by_user=False).eval()
    (answered,) = ask.recommend(waiting, [ask.RecommendRequest(histories, times, k=3)])
    expected = waiting.recommend_many(histories, 3, timestamps=times)
    assert [[each.item for each in best] for best in answered] == [
        [each.item for each in best] for best in expected
    ]


def test_requests_are_answered_for_their_own_times(register):
    """Also those that are scored together."""
    model = seqzoo.create(register(), num_items=12, columns=[], by_user=False).eval()
    history, times = ["1", "5", "2"], [1_000, 1_050, 1_100]
    later = [1_100, 90_000, 7_000_000]
    asked = [ask.RecommendRequest([history], [times], at=time, k=3) for time in later]
    sessions = model.sessions()
    sessions.observe([("ann", *event) for event in zip(history, times, strict=True)])
    of_sessions = _of_sessions("m", sessions, [ask.SessionRequest("ann", t, 3) for t in later])
    for time, (best,), (streamed, _) in zip(
        later, ask.recommend(model, asked), of_sessions, strict=True
    ):
        expected = model.recommend(history, 3, timestamps=times, at=time)
        for found in (best, streamed):
            assert [each.item for each in found] == [each.item for each in expected]
            assert [e.score for e in found] == pytest.approx([e.score for e in expected], abs=1e-5)
    scores = {round(best[0].score, 3) for (best,) in ask.recommend(model, asked)}
    assert len(scores) == 3
    (refused,) = ask.recommend(model, [ask.RecommendRequest([history], at=5)])
    assert "give timestamps" in str(refused)


def test_features_are_not_read_from_files_of_histories(trained, tmp_path):
    frame().write_csv(tmp_path / "events.csv")
    with pytest.raises(SeqzooError, match=r"features of events \(rating, device\)"):
        recommend_file(trained, tmp_path / "events.csv", tmp_path / "out.csv", 3)
