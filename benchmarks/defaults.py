"""Train architectures with several settings on several data sets, for the rule of the defaults.

``python benchmarks/defaults.py --out FOLDER --data ml-100k amazon-beauty --users 4000 mamba4rec
model.num_layers=1 -- model.num_layers=2``: every group of settings, separated by ``--``, is a run
on every data set. One line of JSON for each run is added to ``FOLDER/runs.jsonl``: the best
validation metric, and the validation metric with seen items left out of the same weights. A run
that the file has already is left out, so an interrupted series goes on.
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


def sampled(source: str, users: int) -> Interactions:
    """The interactions of some users, drawn with a fixed seed; of all for 0."""
    interactions = load_data(source, {})
    frame = interactions.frame
    everyone = frame["user"].unique(maintain_order=True).to_numpy()
    if not users or len(everyone) <= users:
        return interactions
    chosen = np.random.default_rng(0).choice(everyone, users, replace=False)
    return Interactions.from_frame(frame.filter(frame["user"].is_in(chosen.tolist())))


def run(architecture: str, data: Interactions, settings: list[str], out: Path) -> dict[str, Any]:
    """One run and its validation metrics."""
    started = time.process_time()
    recipe = {"architecture": architecture, **parse_overrides(settings)}
    result = seqzoo.train(recipe, out, data=data)
    model = seqzoo.load(out)
    section = {k: v for k, v in model.recipe["data"].items() if k != "fingerprint"}
    prepared = prepare(DataConfig(**section), data)
    held_out = hold_out(prepared, model.vocabulary, split_of(get_protocol(PROTOCOLS[0])), "valid")
    gains = gains_by_user(model, held_out, [get_protocol(name) for name in PROTOCOLS])
    measured = [means(own) for own in gains]
    return {
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "users": held_out.users,
        "items": len(model.vocabulary),
        "events": len(prepared.sequences.items),
        "valid": {
            name: {key: round(own[key], 4) for key in ("hit@10", "ndcg@10")}
            for name, own in zip(PROTOCOLS, measured, strict=True)
        },
        "cpu_seconds": round(time.process_time() - started, 1),
    }


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
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "runs.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    keys = ("data", "users_drawn", "architecture", "settings")
    for source in options.data:
        data = None
        for settings in groups:
            key = [Path(source).name, options.users, options.architecture, settings]
            if key in [[entry[name] for name in keys] for entry in done]:
                continue
            data = data or sampled(source, options.users)
            name = "-".join([*map(str, key[:3]), *settings]).replace("/", "_")
            entry = dict(zip(keys, key, strict=True)) | run(
                options.architecture, data, settings, options.out / name
            )
            with log.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)


if __name__ == "__main__":
    main()
