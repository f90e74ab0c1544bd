"""Features of events in the fingerprints of data: what changes them, and what they are for."""

import hashlib

import numpy as np
import polars as pl
import pytest

import seqzoo
from seqzoo.cli.app import run
from seqzoo.data.joined import joined
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.prepared import write_prepared
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import TrainingError

from .conftest import frame, recipe

CONFIG = DataConfig(features=["rating", "device"], min_count=1)
KEYS = {"sequences", "times", "feature rating", "feature device"}


def prints(table, config=CONFIG):
    return prepare(config, table).fingerprints


def test_against_a_plain_computation():
    table = frame(users=3, events=4).with_columns(
        device=pl.when(pl.col("device") == "tv").then(pl.lit("Ä")).otherwise("device")
    )
    rows = sorted(table.rows(named=True), key=lambda row: (row["user"], row["timestamp"]))
    text = sorted({row["device"] for row in rows})
    content = f"text {len(text)}\n".encode()
    content += b"".join(f"{len(each.encode())}:".encode() + each.encode() for each in text)
    ranks = np.array([1 + text.index(row["device"]) for row in rows], dtype="<i4")
    numbers = np.array([row["rating"] for row in rows], dtype="<f4")
    for name, own in (("device", content + ranks.tobytes()), ("rating", numbers.tobytes())):
        kind = b"numbers" if name == "rating" else b""
        digest = hashlib.sha256(b"seqzoo feature 1\n" + kind + own).hexdigest()
        assert prints(table)[f"feature {name}"] == f"sha256:{digest}"


def test_what_changes_them():
    data = prepare(CONFIG, frame())
    assert data.fingerprints.keys() == KEYS
    other = frame().with_columns(device=pl.col("device").reverse())
    changed = prepare(CONFIG, other)
    differing = {key for key in KEYS if changed.fingerprints[key] != data.fingerprints[key]}
    assert differing == {"feature device"}
    assert changed.fingerprint != data.fingerprint
    # Codes follow the order of the rows; the hashes do not.
    shuffled = prepare(CONFIG, frame().reverse())
    assert shuffled.vocabulary.features != data.vocabulary.features
    assert shuffled.fingerprints == data.fingerprints
    assert shuffled.fingerprint == data.fingerprint
    without = prepare(DataConfig(min_count=1), frame())
    assert without.fingerprints.items() < data.fingerprints.items()
    assert without.fingerprint != data.fingerprint


def test_values_that_the_filter_drops_do_not_count():
    row = pl.DataFrame([("ann", "rare", 1, 1, "fridge")], schema=frame().schema, orient="row")
    config = DataConfig(features=["rating", "device"], min_count=2)
    assert prints(pl.concat([row, frame()]), config) == prints(frame(), config)


def test_prepared_and_joined_data_have_them(tmp_path):
    data = prepare(CONFIG, frame())
    write_prepared(tmp_path / "prepared", data, CONFIG)
    config = DataConfig(source=str(tmp_path / "prepared"), min_count=1, features=["rating"])
    assert prepare(config).fingerprints == data.fingerprints
    assert prepare(config).fingerprint == data.fingerprint
    middle = frame()["timestamp"].median()
    parts = [frame().filter(each) for each in
        (pl.col("timestamp") < middle, pl.col("timestamp") >= middle)]  # fmt: skip
    older, newer = (prepare(CONFIG, part) for part in parts)
    both = joined(older, newer, Vocabulary(data.vocabulary.items))
    assert both.fingerprints == data.fingerprints
    assert both.fingerprint == data.fingerprint


def test_a_model_that_reads_features_is_compared_by_them(trained, tmp_path, capsys):
    assert trained.metrics["loo-full"]["data"]["fingerprints"].keys() == KEYS
    assert seqzoo.evaluate(trained, frame()).data["match"] == "same"
    other = frame().with_columns(device=pl.col("device").reverse())
    assert seqzoo.evaluate(trained, other).data["match"] == "features"
    other.write_parquet(tmp_path / "other.parquet")
    words = ["eval", str(tmp_path / "run"), "--data", str(tmp_path / "other.parquet")]
    assert run(words) == 0
    shown = capsys.readouterr()
    assert "the features of the events that the model reads differ" in shown.err
    assert "the stored metrics were measured on other features" in shown.out
    words = ["verify", str(tmp_path / "run"), "--eval", "--json", *words[2:]]
    assert run(words) == 1
    assert "has other features of the events than the data" in capsys.readouterr().out
    # Metrics that an earlier version stored have no fingerprints of features.
    for record in trained.metrics.values():
        for key in KEYS - {"sequences", "times"}:
            del record["data"]["fingerprints"][key]
    assert seqzoo.evaluate(trained, other).data["match"] == "same"


def test_a_model_that_reads_none_is_not(tmp_path):
    plain = {"architecture": "gru4rec", "model": {"hidden_size": 8, "gru_size": 8}}
    seqzoo.train({**recipe(epochs=1, baselines=False), **plain}, tmp_path / "run", data=frame())
    model = seqzoo.load(tmp_path / "run")
    other = frame().with_columns(device=pl.col("device").reverse())
    assert seqzoo.evaluate(model, other).data["match"] == "same"


def test_a_run_does_not_resume_on_other_features(register, tmp_path):
    register()
    seqzoo.train(recipe(epochs=1, baselines=False), tmp_path / "run", data=frame())
    other = frame().with_columns(rating=pl.col("rating").reverse())
    with pytest.raises(TrainingError, match="holds a run on other data"):
        seqzoo.train(recipe(epochs=1, baselines=False), tmp_path / "run", data=other)
