"""Recommendations for all users of a file that were interrupted, killed or damaged on the way."""

import json
import os
import subprocess
import sys
import time

import polars as pl
import pytest

import seqzoo
from seqzoo.errors import UsageError
from seqzoo.serving.batch import users as batch_users
from seqzoo.serving.batch.run import recommend_file
from tests.samples import make_model


@pytest.fixture(scope="module")
def model():
    return make_model()


def big(path, users=9000):
    """More users than fit into a block, one row per user."""
    lists = [[f"item-{(n + step) % 20}" for step in range(1 + n % 3)] for n in range(users)]
    frame = pl.DataFrame({"user": [f"u{n}" for n in range(users)], "items": lists})
    (frame.write_parquet if path.suffix == ".parquet" else frame.write_ndjson)(path)
    return path


def test_an_interrupted_run_resumes(model, tmp_path, monkeypatch):
    source = big(tmp_path / "in.parquet")
    whole = recommend_file(model, source, tmp_path / "whole.parquet", 3)
    blocks = -(-9000 // batch_users.BLOCK)
    out = tmp_path / "out.parquet"
    done = 0

    def stop_in_the_second(users):
        nonlocal done
        done += 1
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommend_file(model, source, out, 3, advance=stop_in_the_second)
    assert not out.exists()
    computed = []
    original = type(model).recommend_encoded
    monkeypatch.setattr(
        type(model),
        "recommend_encoded",
        lambda self, users, *more: computed.append(len(users)) or original(self, users, *more),
    )
    result = recommend_file(model, source, out, 3)
    assert len(computed) == blocks - 2
    assert result.resumed
    assert (result.users, result.rows) == (whole.users, whole.rows)
    assert pl.read_parquet(out).equals(pl.read_parquet(tmp_path / "whole.parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.parquet", "out.parquet", "whole.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda line: line.replace(b'"cold":0,', b""), "the document lacks 'cold'"),
        (lambda line: line.replace(b'"rows":', b'"rows":-'), "'rows' is -"),
        (lambda line: line.replace(b'"part":0', b'"part":"0"'), "'part' is '0', expected a whole"),
        (lambda line: line[:-5], "is not the JSON that seqzoo writes"),
        (lambda line: b"\xff" + line, "is not the JSON that seqzoo writes"),
        (lambda line: b"[" * 100_000, "is not the JSON that seqzoo writes"),
    ],
)
def test_a_part_whose_record_is_damaged_is_computed_again(
    model, tmp_path, monkeypatch, caplog, damage, said
):
    monkeypatch.setattr(batch_users, "BLOCK", 10)
    source = big(tmp_path / "in.parquet", users=30)
    whole = recommend_file(model, source, tmp_path / "whole.parquet", 3)
    out = tmp_path / "out.parquet"

    def stop(users):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommend_file(model, source, out, 3, advance=stop)
    log = tmp_path / ".out.parquet.partial" / "done.jsonl"
    (line,) = log.read_bytes().splitlines()
    log.write_bytes(damage(line) + b"\n")
    again = recommend_file(model, source, out, 3)
    assert "done.jsonl, line 1" in caplog.text
    assert said in caplog.text
    assert "its part is computed again" in caplog.text
    assert (again.users, again.cold, again.rows) == (whole.users, whole.cold, whole.rows)
    assert pl.read_parquet(out).equals(pl.read_parquet(tmp_path / "whole.parquet"))


def test_a_mark_of_the_settings_that_is_damaged_starts_again(model, tmp_path, caplog):
    folder = tmp_path / ".out.parquet.partial"
    folder.mkdir()
    (folder / "settings.sha256").write_bytes(b"\xff")
    result = recommend_file(model, big(tmp_path / "in.parquet", users=5), tmp_path / "out.parquet")
    assert "starting again" in caplog.text
    assert not result.resumed


def test_an_interrupted_run_with_other_settings_starts_again(model, tmp_path, caplog):
    source = big(tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"

    def stop(users):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommend_file(model, source, out, 3, advance=stop)
    result = recommend_file(model, source, out, 2)
    assert not result.resumed
    assert "other settings or data; starting again" in caplog.text
    assert pl.read_parquet(out)["rank"].max() == 2


def test_a_killed_run_resumes(checkpoint, tmp_path):
    """A real process is killed after its first part; the same command then writes the file."""
    source = big(tmp_path / "in.jsonl", users=12_000)
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable, "-m", "seqzoo", "recommend", str(checkpoint),
        "--histories", str(source), "--out", str(out), "-k", "2", "--json",
    ]  # fmt: skip
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=variables)
    log = tmp_path / ".out.jsonl.partial" / "done.jsonl"
    until = time.monotonic() + 60
    while not (log.exists() and log.read_bytes()):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not out.exists()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["resumed"]
    assert (said["users"], said["cold"], said["rows"]) == (12_000, 0, 24_000)
    found = pl.read_ndjson(out)
    assert found["user"].unique_counts().to_list() == [2] * 12_000
    expected = seqzoo.load(checkpoint).recommend(["item-19", "item-0"], 2)
    some = found.filter(pl.col("user") == "u19")["item"].to_list()
    assert some == [each.item for each in expected]


def test_two_runs_for_one_file(model, tmp_path):
    source = big(tmp_path / "in.jsonl", users=5)

    def again(users):
        with pytest.raises(UsageError, match="another process is writing"):
            recommend_file(model, source, tmp_path / "out.csv", 3)

    recommend_file(model, source, tmp_path / "out.csv", 3, advance=again)
