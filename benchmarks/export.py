"""An exported folder compared with its model: start, one request, a batch, one event, size.

The start is a whole process that gives one list, of the folder's runner where neither torch nor
seqzoo is installed, and of ``seqzoo recommend``. The other times are CPU time of one thread.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import onnxruntime
import torch
from timing import arguments, fastest, medians, report

import seqzoo
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.export.runner import Recommender

MODELS = ("sasrec-ml1m", "gru4rec-ml1m", "mamba4rec-ml1m", "elastic-ml1m")
LENGTHS = (10, 200)
REQUESTS = 20
BATCH = 32
NEEDED = ("numpy", "numpy.libs", "onnxruntime", "onnxruntime.libs")


def bare_python(home: Path) -> str:
    """The interpreter of an environment that has numpy and onnxruntime of this one, and no more."""
    venv.create(home, symlinks=True)
    python = str(home / "bin" / "python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout
    for name in NEEDED:
        for scheme in ("purelib", "platlib"):
            found = Path(sysconfig.get_path(scheme)) / name
            if found.exists() and not (Path(site.strip()) / name).exists():
                (Path(site.strip()) / name).symlink_to(found)
    return python


def starts(name: str, folder: str, python: str) -> dict[str, Callable[[], object]]:
    """A process that recommends once."""
    history = ["--history", "1", "260", "1196", "-k", "10"]
    commands = {
        "seqzoo recommend": [sys.executable, "-m", "seqzoo", "recommend", name, *history],
        "runner.py": [python, f"{folder}/runner.py", *history],
    }
    return {
        title: partial(subprocess.run, words, capture_output=True, check=True)
        for title, words in commands.items()
    }


def histories_of(model: SequenceModel, users: int, length: int) -> list[list[str]]:
    """Histories of the same length."""
    items = model.vocabulary.items
    return [
        [items[(start + step) * 1009 % len(items)] for step in range(length)]
        for start in range(users)
    ]


def batches(
    model: SequenceModel, folders: dict[str, str], length: int
) -> dict[str, Callable[[], object]]:
    """The histories of many users together."""
    histories = histories_of(model, BATCH, length)
    times = [list(range(length))] * BATCH
    calls: dict[str, Callable[[], object]] = {
        "model.recommend_many": lambda: model.recommend_many(histories, timestamps=times)
    }
    for title, folder in folders.items():
        runner = Recommender(folder)
        calls[title] = partial(runner.recommend_many, histories, timestamps=times)
    return calls


def requests(
    model: SequenceModel, folders: dict[str, str], length: int
) -> dict[str, Callable[[], object]]:
    """Requests of one user, one after another."""
    histories = histories_of(model, REQUESTS, length)
    times = list(range(length))

    def recommend_all(runner: Recommender) -> None:
        for history in histories:
            runner.recommend(history, timestamps=times)

    calls: dict[str, Callable[[], object]] = {
        "model.recommend": lambda: [model.recommend(h, timestamps=times) for h in histories]
    }
    for title, folder in folders.items():
        calls[title] = partial(recommend_all, Recommender(folder))
    return calls


def events(model: SequenceModel, folders: dict[str, str]) -> dict[str, Callable[[], object]]:
    """Events of one user, one after another."""
    items, clock = model.vocabulary.items, count()
    sessions = {"session.observe": model.session()}
    sessions |= {title: Recommender(folder).session() for title, folder in folders.items()}  # type: ignore[misc]

    def observe(session: object) -> None:
        for _ in range(REQUESTS):
            second = next(clock)
            session.observe(items[second * 1009 % len(items)], second)  # type: ignore[attr-defined]

    return {title: partial(observe, each) for title, each in sessions.items()}


def main() -> None:
    """Export the models, and compare."""
    options = arguments(__doc__, MODELS)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        python = bare_python(Path(folder) / "venv")
        for name in options.models:
            model = seqzoo.load(name)
            exported = seqzoo.export(model, f"{folder}/{name}")
            small = seqzoo.export(model, f"{folder}/{name}-int8", int8=True)
            folders = {"runner": exported.out, "runner, int8": small.out}
            calls = starts(name, exported.out, python)
            report(f"{name}: a start", medians(calls, options.turns), *compare(calls, options.json))
            for length in LENGTHS:
                calls = requests(model, folders, length)
                title = f"{name}: {REQUESTS} requests of {length} events"
                report(title, fastest(calls, options.turns), *compare(calls, options.json))
                calls = batches(model, folders, length)
                title = f"{name}: a batch of {BATCH} histories of {length} events"
                report(title, fastest(calls, options.turns), *compare(calls, options.json))
            if exported.streaming:
                calls = events(model, folders)
                title = f"{name}: {REQUESTS} events"
                report(title, fastest(calls, options.turns), *compare(calls, options.json))
            report(
                f"{name}: size (agreement of int8 {small.agreement:.3f}, "
                f"onnxruntime {onnxruntime.__version__})",
                {"float32": exported.bytes, "int8": small.bytes},
                "float32",
                options.json,
                unit="MB",
                factor=1e-6,
            )


def compare(calls: dict[str, Callable[[], object]], as_json: bool) -> tuple[str, bool]:
    """The first of the calls, with which the others are compared, and how they are shown."""
    return next(iter(calls)), as_json


if __name__ == "__main__":
    main()
