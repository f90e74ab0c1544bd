"""Sessions, prepared folders and the command line of models that read more than ids and times."""

import json

import pytest
import torch

import seqzoo
from seqzoo.cli.app import run
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.prepared import write_prepared
from seqzoo.errors import SeqzooError

from .conftest import frame, recipe
from .test_context import FEATURES, HISTORY, TIMES

EVENTS = [
    (item, time, {name: values[place] for name, values in FEATURES.items()})
    for place, (item, time) in enumerate(zip(HISTORY, TIMES, strict=True))
]


def test_a_session_reads_its_events_again(trained, tmp_path):
    session, sessions = trained.session(user="ann"), trained.sessions()
    for item, time, features in EVENTS:
        session.observe(item, time, **features)
        sessions.observe([("ann", item, time, features)])
    given = {"timestamps": [TIMES], "features": [FEATURES], "users": ["ann"]}
    expected = trained.encode([HISTORY], **given)[0]
    torch.testing.assert_close(session.hidden, expected)
    for at in (None, 1_500_000):
        asked = None if at is None else [at]
        best = trained.recommend_many([HISTORY], 5, at=asked, **given)[0]
        scores = pytest.approx([each.score for each in best], abs=1e-5)
        assert [each.score for each in session.recommend(5, at=at)] == scores
        (found,) = sessions.recommend(["ann"], 5, at=asked)
        assert [each.score for each in found] == scores
    assert session.recommend(5)[0].score != session.recommend(5, at=1_500_000)[0].score
    session.save(tmp_path / "ann")
    again = trained.session(tmp_path / "ann")
    assert again.user == "ann"
    again.observe("i4", 1_000_300, rating=2, device="web")
    session.observe("i4", 1_000_300, rating=2, device="web")
    torch.testing.assert_close(again.hidden, session.hidden)


def test_what_is_missing_in_an_event_is_named(trained):
    session = trained.session(user="ann")
    for features, message in (
        ({"rating": 3}, "reads the feature 'device'"),
        ({"rating": "x", "device": "tv"}, "'rating' is a number"),
        ({"rating": 3, "device": "tv", "devise": 1}, "no feature 'devise'; did you mean 'device'"),
    ):
        with pytest.raises(SeqzooError, match=message):
            session.observe("i1", 5, **features)
    assert len(session) == 0
    plain = seqzoo.load("gru4rec-ml100k").session()
    with pytest.raises(SeqzooError, match="no feature 'rating'; it reads: none"):
        plain.observe("1", rating=3)
    nobody = trained.session()
    nobody.observe("i1", 5, rating=3, device="tv")
    with pytest.raises(SeqzooError, match=r"model\.session"):
        nobody.recommend(2)


def test_prepared_folders_hold_the_features(trained, tmp_path):
    config = DataConfig(source="log.csv", min_count=1, features=["rating", "device"])
    data = prepare(config, frame())
    write_prepared(tmp_path / "prepared", data, config)
    again = prepare(DataConfig(str(tmp_path / "prepared"), 1))
    assert again.vocabulary.features == data.vocabulary.features
    for name, values in data.sequences.features.items():
        assert again.sequences.features[name].tolist() == values.tolist()
    measured = seqzoo.evaluate(trained, tmp_path / "prepared")
    assert measured.drift == {}
    # It trains the same model.
    seqzoo.train(recipe(), tmp_path / "run-2", data=tmp_path / "prepared")
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "run-2")]
    assert same[0] == same[1]
    with pytest.raises(SeqzooError, match="prepared without the feature 'price'"):
        prepare(DataConfig(str(tmp_path / "prepared"), 1, features=["price"]))
    column = tmp_path / "prepared" / "feature-1.npy"
    column.write_bytes(column.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(SeqzooError, match=r"feature-1\.npy has sha256"):
        prepare(DataConfig(str(tmp_path / "prepared"), 1))


def test_the_command_line(trained, tmp_path, capsys):
    words = ["recommend", str(tmp_path / "run"), "--history", *HISTORY, "-k", "2", "--json"]
    words += ["--timestamps", *map(str, TIMES), "--user", "ann"]
    assert run([*words, "--features", json.dumps(FEATURES), "--at", "1500000"]) == 0
    found = json.loads(capsys.readouterr().out)["recommendations"]
    expected = trained.recommend(
        HISTORY, 2, timestamps=TIMES, features=FEATURES, user="ann", at=1_500_000
    )
    assert [each["item"] for each in found] == [each.item for each in expected]
    assert run(words) == 2
    assert "reads the feature 'rating' of every event" in capsys.readouterr().err
    assert run([*words, "--features", "[1]"]) == 2
    assert "expected lists by name in JSON" in capsys.readouterr().err
