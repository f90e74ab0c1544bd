"""Train architectures with several settings on several data sets, for the rule of the defaults.

``python benchmarks/defaults.py --out FOLDER --data ml-100k amazon-beauty --users 4000 mamba4rec
model.num_layers=1 -- model.num_layers=2``: every group of settings, separated by ``--``, is a run
on every data set. One line of JSON for each run is added to ``FOLDER/runs.jsonl``: the best
validation metric, and the validation metric with seen items left out of the same weights. A run
that the file has already is left out, so an interrupted series can be resumed.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import seqzoo
from seqzoo.config import parse_overrides
from seqzoo.data.interactions import Interactions
from seqzoo.data.prepare import DataConfig, load_data, prepare
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.evaluation.ranks import gains_by_user, means

PROTOCOLS = ("loo-full", "loo-full-unseen")


class Log:
    """The file ``runs.jsonl`` of a folder: one line of JSON for each run that has ended.

    Args:
        folder: is created.
        keys: the entries that tell runs apart.
    """

    def __init__(self, folder: Path, keys: tuple[str, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._keys = folder / "runs.jsonl", keys

    def entries(self) -> list[dict[str, Any]]:
        """All runs, in the order in which they ended."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [json.loads(line) for line in lines]

    def has(self, key: list[Any]) -> bool:
        """Whether a run has ended."""
        return key in [[entry.get(name) for name in self._keys] for entry in self.entries()]

    def add(self, key: list[Any], results: dict[str, Any]) -> None:
        """Append a run, and print it."""
        line = json.dumps(dict(zip(self._keys, key, strict=True)) | results)
        with self._path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def sampled(source: str, users: int) -> Interactions:
    """The interactions of some users, drawn with a fixed seed; of all for 0."""
    interactions = load_data(source, {})
    frame = interactions.frame
    everyone = frame["user"].unique(maintain_order=True).to_numpy()
    if not users or len(everyone) <= users:
        return interactions
    chosen = np.random.default_rng(0).choice(everyone, users, replace=False)
    return Interactions.from_frame(frame.filter(frame["user"].is_in(chosen.tolist())))


def validated(folder: Path, data: Interactions) -> dict[str, Any]:
    """Metrics of a run's validation items, the size of its data, and what chose the best epoch.

    The metrics of the test items, which chose nothing, are there too.

    Args:
        folder: of the run.
        data: what it was trained on, before its filter.
    """
    model = seqzoo.load(folder)
    section = {k: v for k, v in model.recipe["data"].items() if k != "fingerprint"}
    prepared = prepare(DataConfig(**section), data)
    protocols = [get_protocol(name) for name in PROTOCOLS]
    held_out = hold_out(prepared, model.vocabulary, split_of(protocols[0]), "valid")
    gains = gains_by_user(model, held_out, protocols)
    measured = [means(own) for own in gains]
    return {
        "users": held_out.users,
        "items": len(model.vocabulary),
        "events": len(prepared.sequences.items),
        "selected_by": model.recipe["train"]["protocols"][0],
        "valid": {
            name: {key: round(own[key], 4) for key in ("hit@10", "ndcg@10")}
            for name, own in zip(PROTOCOLS, measured, strict=True)
        },
        "test": {
            name: {key: round(entry["metrics"][key], 4) for key in ("hit@10", "ndcg@10")}
            for name, entry in model.metrics.items()
        },
    }


def run(architecture: str, data: Interactions, settings: list[str], out: Path) -> dict[str, Any]:
    """One run and its validation metrics."""
    started = time.process_time()
    recipe = {"architecture": architecture, **parse_overrides(settings)}
    result = seqzoo.train(recipe, out, data=data)
    return {
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        **validated(out, data),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def short(value: float) -> str:
    """A metric as the tables of the docs have it: ``.1234``."""
    return f"{value:.4f}".lstrip("0")


def main() -> None:
    """Run everything that is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--users", type=int, default=0, help="users to draw; 0 for all")
    parser.add_argument("architecture")
    parser.add_argument("settings", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    groups: list[list[str]] = [[]]
    for word in options.settings:
        if word == "--":
            groups.append([])
        else:
            groups[-1].append(word)
    log = Log(options.out, ("data", "users_drawn", "architecture", "settings"))
    for source in options.data:
        data = None
        for settings in groups:
            key = [Path(source).name, options.users, options.architecture, settings]
            if log.has(key):
                continue
            data = data or sampled(source, options.users)
            name = "-".join([*map(str, key[:3]), *settings]).replace("/", "_")
            log.add(key, run(options.architecture, data, settings, options.out / name))


if __name__ == "__main__":
    main()
