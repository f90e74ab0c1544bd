"""Recommendations for all users of a file on a Ray cluster: the file of the local engine."""

import logging
import os
import signal
import time
from pathlib import Path

import polars as pl
import pytest

from seqzoo.cli.app import run
from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.serving.batch import engines
from seqzoo.serving.batch import users as batch_users
from seqzoo.serving.batch.run import recommend_file
from seqzoo.serving.batch.score import Options
from seqzoo.serving.batch.tasks import Task
from tests.samples import make_model

USERS, BLOCK = 3000, 100


@pytest.fixture(scope="module")
def model():
    """Larger than what Ray copies into every message, so that it lies in Ray's store."""
    return make_model(items=5000)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Users in many blocks; every tenth has an item that the model does not know."""
    monkeypatch.setattr(batch_users, "BLOCK", BLOCK)
    lists = [
        [*(f"item-{(n + step) % 20}" for step in range(1 + n % 5)), *["gone"] * (n % 10 == 0)]
        for n in range(USERS)
    ]
    path = tmp_path / "users.parquet"
    pl.DataFrame({"user": [f"u{n}" for n in range(USERS)], "items": lists}).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def workers():
    """The processes of the cluster that hold a model, by what they call themselves."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::Scorer") and descends_from_us(int(folder.name)):
            found.append(int(folder.name))
    return found


def descends_from_us(process):
    while process > 1:
        if process == os.getpid():
            return True
        try:
            text = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return False
        process = int(text.rpartition(")")[2].split()[1])
    return False


@pytest.mark.slow
def test_the_rows_are_those_of_the_local_engine(cluster, model, source, tmp_path):
    options = {"exclude": ["item-3"], "overwrite": True}
    local = recommend_file(model, source, tmp_path / "local.parquet", 3, **options)
    done = []
    found = recommend_file(
        model, source, tmp_path / "ray.parquet", 3, engine="ray", workers=2, advance=done.append,
        **options,
    )  # fmt: skip
    assert sum(done) == USERS
    assert (found.users, found.rows, found.unknown) == (local.users, local.rows, local.unknown)
    assert pl.read_parquet(tmp_path / "ray.parquet").equals(
        pl.read_parquet(tmp_path / "local.parquet")
    )
    assert cluster.is_initialized()


class Occupant:
    """Other work on the cluster."""

    def here(self):
        pass


@pytest.fixture
def occupied(cluster):
    """Lets other work take a number of cores, until ``occupied.end()``."""

    class Occupied:
        actor = None

        def begin(self, cores):
            self.free(2)
            self.actor = cluster.remote(num_cpus=cores)(Occupant).remote()
            cluster.get(self.actor.here.remote())
            self.free(2 - cores)

        def end(self):
            if self.actor is not None:
                cluster.kill(self.actor)
            self.actor = None

        def free(self, cores):
            """Wait until so many cores are free, which the cluster learns after a moment."""
            until = time.monotonic() + 60
            while cluster.available_resources().get("CPU", 0) != cores:
                assert time.monotonic() < until
                time.sleep(0.05)

    found = Occupied()
    yield found
    found.end()


@pytest.mark.slow
def test_a_busy_cluster_is_waited_for_with_a_line(cluster, occupied, model, source, tmp_path):
    """Only the line lets the other work end, so the run cannot have started before it."""
    said = []

    class End(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())
            if record.levelno == logging.WARNING:
                occupied.end()

    recommend_file(model, source, tmp_path / "local.jsonl", 3)
    occupied.begin(2)
    logger, handler = logging.getLogger("seqzoo.ray"), End()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        recommend_file(model, source, tmp_path / "ray.jsonl", 3, engine="ray", workers=2)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert said[0] == (
        "waiting for a core of the Ray cluster: all 2 are in use; end other work there, or leave "
        "out --engine ray to score in this process"
    )
    assert said[1] == "1 of 2 workers started"
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (None, ["1 of 1 workers started"]),
        (
            2,
            [
                "free cores of the Ray cluster: 1 of 2; 1 of 2 workers start now, the others when "
                "more are free",
                "1 of 2 workers started",
                "done before 1 of 2 workers started",
            ],
        ),
    ],
)
def test_cores_that_are_in_use_are_left_alone(
    occupied, model, source, tmp_path, caplog, asked, said
):
    recommend_file(model, source, tmp_path / "local.jsonl", 3)
    occupied.begin(1)
    caplog.set_level(logging.INFO, "seqzoo.ray")
    recommend_file(model, source, tmp_path / "ray.jsonl", 3, engine="ray", workers=asked)
    assert [record.message for record in caplog.records if record.name == "seqzoo.ray"] == said
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


class Broken:
    """A model that no worker can load."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __reduce__(self):
        return int, ("no plugin of this name",)


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_named(cluster, model):
    from seqzoo.serving.batch.ray_engine import RayEngine

    task = Task(0, batch_users.Block(pl.Series(["ann"]), [["item-1"]], None, str), {})
    engine = RayEngine(Broken(model), Options(3), {}, 1)
    with pytest.raises(UsageError, match=r"cannot start \([^;]*no plugin of this name"):
        list(engine.run(iter([task])))


def test_nothing_is_started_for_no_users(model, monkeypatch):
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from seqzoo.serving.batch.ray_engine import RayEngine

    monkeypatch.setattr(ray, "init", None)
    assert list(RayEngine(model, Options(3), {}).run(iter([]))) == []


@pytest.mark.slow
def test_lists_by_user_reach_the_workers(cluster, model, source, tmp_path):
    rows = [(f"u{n}", f"item-{(n + 7) % 20}") for n in range(USERS)]
    lists = tmp_path / "stock.csv"
    pl.DataFrame(rows, schema=["user", "item"], orient="row").write_csv(lists)
    for engine in engines.ENGINES:
        out = tmp_path / f"{engine}.csv"
        recommend_file(model, source, out, 1, candidates=lists, engine=engine)
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers by /proc")
def test_a_lost_worker_is_replaced(cluster, model, source, tmp_path):
    """One is killed after the first block; what it was computing is computed again."""
    recommend_file(model, source, tmp_path / "local.jsonl", 3)
    killed = []

    def kill(users):
        if not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    recommend_file(model, source, tmp_path / "ray.jsonl", 3, engine="ray", workers=2, advance=kill)
    assert killed
    assert killed[0] not in workers()
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.slow
def test_an_interrupted_run_resumes_with_the_other_engine(cluster, model, source, tmp_path):
    out = tmp_path / "out.parquet"

    def stop(users):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommend_file(model, source, out, 3, engine="ray", workers=1, advance=stop)
    until = time.monotonic() + 30
    while workers():
        assert time.monotonic() < until, "the workers keep running after the run"
        time.sleep(0.05)
    assert recommend_file(model, source, out, 3).resumed
    recommend_file(model, source, tmp_path / "whole.parquet", 3)
    assert pl.read_parquet(out).equals(pl.read_parquet(tmp_path / "whole.parquet"))


@pytest.mark.slow
def test_errors_are_those_of_the_local_engine(cluster, model, source, tmp_path):
    said = []
    for engine in engines.ENGINES:
        with pytest.raises(UnknownItemError, match=r"users\.parquet.*gone") as caught:
            recommend_file(
                model, source, tmp_path / f"{engine}.csv", 3, engine=engine, on_unknown="error"
            )
        said.append(str(caught.value))
    assert "row 1" in said[0]
    with pytest.raises(UsageError, match="workers is 3, and the Ray cluster has 2 cores"):
        recommend_file(model, source, tmp_path / "out.csv", 3, engine="ray", workers=3)


def test_a_missing_package_is_named(model, source, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"needs ray.*pip install 'seqzoo\[ray\]'"):
        recommend_file(model, source, tmp_path / "out.csv", engine="ray")
    assert not list(tmp_path.glob("*.csv"))


def test_a_cluster_that_does_not_answer_is_named(model, source, tmp_path, monkeypatch):
    """Ray's error is an OSError, and must not read as if the output file could not be written."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")

    def refuse(**_):
        raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UsageError, match=r"10\.0\.0\.1:6379.*RAY_ADDRESS"):
        recommend_file(model, source, tmp_path / "out.csv", engine="ray")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rai"}, "engine is 'rai'; did you mean 'ray'"),
        ({"workers": 2}, "the local engine has none"),
    ],
)
def test_wrong_engines(model, source, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        recommend_file(model, source, tmp_path / "out.csv", **options)


@pytest.mark.slow
def test_the_command(cluster, checkpoint, source, tmp_path, capsys):
    out = tmp_path / "out.csv"
    words = ["recommend", str(checkpoint), "--histories", str(source), "--out", str(out)]
    assert run([*words, "--engine", "ray", "--workers", "2", "--json"]) == 0
    assert f'"users": {USERS}' in capsys.readouterr().out
    assert run(["recommend", str(checkpoint), "--history", "item-1", "--engine", "ray"]) == 2
    assert "--engine and --workers are for all users of a file" in capsys.readouterr().err
