"""Continue training on a month of newer data, or keep the old model, or train from scratch.

Amazon Beauty is cut at two moments: the old model is trained on the events before the first, the
newer month lies between them, and the test events are after the second. Three models rank every
test event after all earlier events of its user: the old model as it is, the old model trained
further on the month, and a model trained from scratch on everything before the second moment. An
item that a model does not know counts as a miss. All train on all their events
(``train.hold_out=none``): the old model and the one from scratch for as many epochs as a run with
validation on the old events needed.

    python benchmarks/continue_training.py --data amazon-beauty --out continue_training.json
"""

import argparse
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import seqzoo
from seqzoo.data.datasets import load_interactions
from seqzoo.plugins import catalogue

K = 10


def cut(data: str, first: str, second: str) -> dict[str, pl.DataFrame]:
    """The events before the first moment, from it to the second, and from the second onwards.

    Args:
        data: name or path of interactions with timestamps.
        first: where the newer month begins, as ``2014-05-01``.
        second: where the test events begin.
    """
    interactions = load_interactions(data, specs=catalogue().datasets)
    frame = interactions.frame.select("user", "item", timestamp="order")
    begin, end = (
        int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) for day in (first, second)
    )
    time_of = pl.col("timestamp")
    return {
        "old": frame.filter(time_of < begin),
        "month": frame.filter((time_of >= begin) & (time_of < end)),
        "test": frame.filter(time_of >= end),
    }


def questions(parts: Mapping[str, pl.DataFrame]) -> tuple[list[list[str]], list[str]]:
    """The history before each test event whose user has one, and the item of the event."""
    both = pl.concat([parts["old"], parts["month"], parts["test"]])
    first = parts["old"].height + parts["month"].height
    rows = both.with_row_index("row").sort("user", "timestamp", "row")
    histories, targets = [], []
    for _, events in rows.group_by("user", maintain_order=True):
        items = events["item"].to_list()
        for index, row in enumerate(events["row"].to_list()):
            if row >= first and index:
                histories.append(items[:index])
                targets.append(items[index])
    return histories, targets


def measured(
    model: "seqzoo.SequenceModel", histories: list[list[str]], targets: list[str]
) -> dict[str, float]:
    """NDCG@10 and HR@10, with the items of the history left out."""
    answers = model.recommend_many(histories, K, on_cold="empty")
    gains = np.zeros(len(targets))
    for row, (answer, target) in enumerate(zip(answers, targets, strict=True)):
        items = [each.item for each in answer]
        if target in items:
            gains[row] = 1 / np.log2(items.index(target) + 2)
    return {"ndcg@10": float(gains.mean()), "hit@10": float((gains > 0).mean())}


def train(recipe: Mapping[str, Any], out: Path) -> tuple["seqzoo.TrainingResult", float]:
    """Train, and measure the CPU seconds."""
    began = time.process_time()
    result = seqzoo.train(recipe, out)
    return result, time.process_time() - began


def recipes(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The recipe of each run by its name, all with the same number of epochs of new weights.

    Without ``options.epochs`` a run with validation finds that number.
    """
    work = options.work
    new = {"architecture": options.architecture, "model": json.loads(options.model)}
    common = {"threads": options.threads, "seed": options.seed, "baselines": False}
    settings = {**common, **json.loads(options.train)}
    old_data = {"source": str(work / "old.csv"), "min_count": 1}
    epochs = options.epochs
    if epochs is None:
        validated = {**settings, "protocols": ["loo-full-unseen"]}
        chosen, _ = train({**new, "data": old_data, "train": validated}, work / "validated")
        epochs = chosen.best_epoch
    whole = {**settings, "hold_out": "none", "epochs": epochs}
    return {
        "old": {**new, "data": old_data, "train": whole},
        "continued": {
            "start": str(work / "old"),
            "data": {"source": str(work / "month.csv"), "replay_source": str(work / "old.csv")},
            "train": {"hold_out": "none", **common, **json.loads(options.continued)},
        },
        "from scratch": {
            **new,
            "data": {**old_data, "source": str(work / "all.csv")},
            "train": whole,
        },
    }


def main() -> None:
    """Run the comparison and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="amazon-beauty")
    parser.add_argument("--architecture", default="sasrec")
    parser.add_argument("--first", default="2014-05-01")
    parser.add_argument("--second", default="2014-06-01")
    parser.add_argument("--work", type=Path, default=Path("runs/continue_training"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", default="{}", help="settings of the model, as JSON")
    parser.add_argument("--train", default="{}", help="settings of training from new weights")
    parser.add_argument("--continued", default="{}", help="settings of the continued training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of new weights, if no run is to find it")
    options = parser.parse_args()
    parts = cut(options.data, options.first, options.second)
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    parts["all"] = pl.concat([parts["old"], parts["month"]])
    for name in ("old", "month", "all"):
        parts[name].write_csv(work / f"{name}.csv")
    histories, targets = questions(parts)
    results: dict[str, Any] = {}
    vocabularies = {}
    for name, recipe in recipes(options).items():
        folder = work / name.removeprefix("from ")
        result, seconds = train(recipe, folder)
        model = seqzoo.load(folder)
        vocabularies[name] = list(model.vocabulary.items)
        results[name] = {
            "items": len(model.vocabulary),
            "epochs": result.epochs,
            "cpu_seconds": round(seconds, 1),
            **measured(model, histories, targets),
        }
        print(name, results[name], flush=True)
    report = {
        "data": options.data,
        "architecture": options.architecture,
        "events": {name: parts[name].height for name in ("old", "month", "test")},
        "questions": len(targets),
        "seed": options.seed,
        "old_items_keep_their_indices": vocabularies["continued"][: len(vocabularies["old"])]
        == vocabularies["old"],
        "results": results,
        "ndcg_ratio": results["continued"]["ndcg@10"] / results["from scratch"]["ndcg@10"],
        "time_ratio": results["continued"]["cpu_seconds"] / results["from scratch"]["cpu_seconds"],
    }
    print(json.dumps(report, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
