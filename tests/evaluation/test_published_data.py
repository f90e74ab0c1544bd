"""MovieLens-1M in GroupLens's own form, through the download, gives the stored metrics."""

import functools
import hashlib
import io
import json
import random
import zipfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import polars as pl
import pytest

import seqzoo
from seqzoo.checkpoint.find import find
from seqzoo.checkpoint.manifest import read_manifest, read_recipe
from seqzoo.cli.app import run
from seqzoo.plugins import catalogue

RARE_FILMS, RARE_RATINGS = 290, 598
"""Further content of the archive: films with fewer than five ratings, which the 5-core removes."""


def read(folder):
    path = folder / "ml-1m.inter"
    frame = pl.read_csv(path, separator="\t", new_columns=["user", "item", "time"])
    return frame.select(
        pl.col("user", "item").cast(pl.String), pl.col("time").cast(pl.Int64)
    ).rows()


def archive(rows):
    """A zip like the publisher's; ratings and rare films are invented."""
    draw = random.Random(0)
    rows = list(rows)
    for number in range(RARE_RATINGS):
        user, _, time = rows[draw.randrange(len(rows))]
        rare = (user, f"{9000 + number % RARE_FILMS}", time)
        rows.insert(draw.randrange(len(rows)), rare)
    lines = "".join(f"{u}::{i}::{int(i) % 5 + 1}::{t}\n" for u, i, t in rows)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("ml-1m/ratings.dat", lines)
    return content.getvalue()


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """``publisher(rows)``: a local server in the place of the publisher of ``ml-1m``."""
    monkeypatch.delenv("SEQZOO_DATA", raising=False)
    monkeypatch.setenv("SEQZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()

    def publish(rows):
        content = archive(rows)
        (tmp_path / "site" / "ml-1m.zip").write_bytes(content)
        datasets = catalogue().datasets
        spec = replace(
            datasets.get("ml-1m"),
            url=f"http://127.0.0.1:{server.server_port}/ml-1m.zip",
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        monkeypatch.setitem(datasets._specs, "ml-1m", spec)

    yield publish
    server.shutdown()
    server.server_close()


def replaced(rows):
    """The rows with timestamps that keep every order and every tie, and change every gap."""
    rank = {time: number for number, time in enumerate(sorted({row[2] for row in rows}))}
    return [(user, item, 10**9 + rank[time]) for user, item, time in rows]


def measured(capsys, name, data="ml-1m", *options):
    code = run(["eval", name, "--data", str(data), "--json", *options])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def test_the_publishers_archive_has_no_drift(publisher, real_data, capsys):
    publisher(read(real_data("ml-1m")))
    code, found, _ = measured(capsys, "gru4rec-ml1m")
    assert (code, found["drift"], found["data"]["match"]) == (0, {}, "same")
    assert found["stored"]
    assert (found["users"], found["items"]) == (6040, 3416)


def test_other_timestamps_in_the_same_order_matter_to_models_that_read_them(
    publisher, real_data, capsys
):
    publisher(replaced(read(real_data("ml-1m"))))
    code, found, err = measured(capsys, "gru4rec-ml1m")
    assert (code, found["drift"], found["data"]["match"]) == (0, {}, "same")
    assert "differ" not in err
    code, found, err = measured(capsys, "tim4rec-ml1m")
    assert (code, found["data"]["match"]) == (0, "timestamps")
    assert "timestamps" in err


CASES = [
    pytest.param(model.name, protocol, id=f"{model.name}-{protocol}")
    for model in seqzoo.list_models("*-ml1m*", pretrained=True)
    for protocol in model.metrics
]
"""Every checkpoint of ``ml-1m`` with each protocol that it has metrics of."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_no_checkpoint_drifts_on_the_published_data(name, protocol, real_data, capsys):
    code, found, _ = measured(capsys, name, real_data("ml-1m"), "--protocol", protocol)
    assert (code, found["drift"], found["data"]["match"]) == (0, {}, "same")
    assert found["stored"]


@pytest.fixture(scope="module")
def other_times(real_data, tmp_path_factory):
    """The data set with other timestamps in the same order."""
    folder = tmp_path_factory.mktemp("times") / "ml-1m"
    folder.mkdir()
    frame = pl.DataFrame(replaced(read(real_data("ml-1m"))), ["user", "item", "time"], orient="row")
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    frame.rename(dict(zip(frame.columns, header, strict=True))).write_csv(
        folder / "ml-1m.inter", separator="\t"
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_other_timestamps_matter_exactly_where_they_are_read(name, protocol, other_times, capsys):
    code, found, err = measured(capsys, name, other_times, "--protocol", protocol)
    claims = seqzoo.info(name)["claims"]
    order = read_recipe(read_manifest(find(name)))["data"]["order"]
    if order == "float32-time-row":
        # Rounding ties other events, which changes the order itself.
        expected = "other"
    else:
        reads = claims["uses_time"] or claims["uses_query_time"]
        expected = "timestamps" if reads else "same"
    assert (code, found["data"]["match"]) == (0, expected)
    if expected == "same":
        assert found["drift"] == {}
        assert found["stored"]
    else:
        assert "differ" in err
