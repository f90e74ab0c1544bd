"""The command line in this process and as the real thing, and small runs made once by it."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqzoo.cli.app import run

TINY = (
    "data.options.users=120",
    "data.options.items=40",
    "data.options.mean_length=10",
    "model.hidden_size=16",
    "model.max_length=20",
    "train.epochs=2",
)


@dataclass(frozen=True)
class Answer:
    """The output and the exit code of a command line."""

    code: int
    out: str
    err: str


def script(*words: object, cwd: Path | None = None, **variables: str) -> Answer:
    """Run the real ``seqzoo`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "seqzoo", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def run_python() -> Callable[..., Answer]:
    """Run code in a process of its own, at the root of the repository."""

    def call(code: str, **variables: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        )
        return Answer(done.returncode, done.stdout.strip(), done.stderr)

    return call


@pytest.fixture(scope="session")
def process() -> Callable[..., Answer]:
    return script


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    for variable in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "SEQZOO_BACKEND"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def seqzoo(capsys) -> Callable[..., Answer]:
    """Run a command line in this process."""

    def call(*words: object) -> Answer:
        capsys.readouterr()
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call


@pytest.fixture
def refused(seqzoo) -> Callable[..., str]:
    """Run a command line that is wrong: exit code 2, one line on stderr, nothing on stdout."""

    def call(*words: object) -> str:
        answer = seqzoo(*words)
        assert answer.code == 2, answer
        assert answer.out == ""
        assert answer.err.startswith("error: "), answer
        assert answer.err.count("\n") == 1, answer
        return answer.err

    return call


@dataclass(frozen=True)
class Trained:
    """A run, and the output of its training."""

    folder: Path
    answer: Answer


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """SASRec on generated data, trained by the real command."""
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    words = ("train", "sasrec", "--data", "synthetic", "--out", folder, "--json", *TINY)
    return Trained(folder, script(*words))


@pytest.fixture
def tiny(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the small checkpoint, which a test may change."""
    return Path(shutil.copytree(trained.folder, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def shop_csv(tmp_path_factory) -> Path:
    """A shop's own file: other column names, alphanumeric ids, more columns, rows in no order."""
    chance = random.Random(0)
    skus = [f"SKU-{number:03}" for number in range(30)]
    rows = []
    for user in range(80):
        start = chance.randrange(30)
        for step in range(chance.randrange(5, 12)):
            sku = skus[(start + step * (1 if chance.random() < 0.8 else 7)) % 30]
            rows.append(f"web,c-{user},{sku},Product {sku},{1_600_000_000 + step * 60},9.5")
    chance.shuffle(rows)
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    path.write_text("\n".join(["channel,customer,sku,name,bought_at,price", *rows]) + "\n")
    return path


SHOP = ("--user-col", "customer", "--item-col", "sku", "--time-col", "bought_at")


@pytest.fixture(scope="session")
def shop(shop_csv: Path, tmp_path_factory) -> Trained:
    """Mamba4Rec on the shop's file, trained by the real command."""
    folder = tmp_path_factory.mktemp("runs") / "shop"
    answer = script(
        "train", "mamba4rec", "--data", shop_csv, "--out", folder, *SHOP, "--label-col", "name",
        "--min-count", 3, "model.hidden_size=16", "model.max_length=12", "train.epochs=2",
    )  # fmt: skip
    return Trained(folder, answer)
