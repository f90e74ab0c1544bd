"""Rank items that do not occur in the training data, by their titles only.

Interactions are cut at a moment. A model with ``item-features`` is trained on what is before, with
the titles of the items that occur there. The items that occur only later are added by
``model.extend`` with their titles, and every later event with one of these items is ranked after
all earlier events of its user, among all items. Chance is 10 divided by the number of items.

    python benchmarks/new_items.py --data amazon-beauty --cut 2014-02-01 --out new_items.json
"""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import seqzoo
from seqzoo.data.datasets import load_interactions
from seqzoo.data.interactions import Interactions
from seqzoo.plugins import catalogue

K = 10


def questions(
    old: pl.DataFrame, later: pl.DataFrame, known: set[str]
) -> tuple[list[list[str]], list[str]]:
    """The history before each later event with an item that is not known, and that item.

    Users without an earlier event with a known item are left out: nothing is known about them.
    """
    rows = pl.concat([old, later]).with_row_index("row").sort("user", "timestamp", "row")
    histories, targets = [], []
    for _, events in rows.group_by("user", maintain_order=True):
        items = events["item"].to_list()
        for index, row in enumerate(events["row"].to_list()):
            if row >= old.height and items[index] not in known and known & set(items[:index]):
                histories.append(items[:index])
                targets.append(items[index])
    return histories, targets


def hit_rate(
    model: "seqzoo.SequenceModel", histories: list[list[str]], targets: list[str]
) -> float:
    """HR@10, with the items of the history left out."""
    answers = model.recommend_many(histories, K)
    hits = [
        target in {each.item for each in answer}
        for answer, target in zip(answers, targets, strict=True)
    ]
    return float(np.mean(hits))


def titles(interactions: Interactions, items: list[str]) -> pl.DataFrame:
    """The table of some items with their titles."""
    labels = [interactions.labels.get(item, "") for item in items]
    return pl.DataFrame({"item_id": items, "title": labels})


def train(
    options: argparse.Namespace, events: pl.DataFrame, item_features: pl.DataFrame
) -> "seqzoo.TrainingResult":
    """Train a model that reads the titles, into the folder ``options.work``."""
    recipe: dict[str, Any] = {
        "architecture": options.architecture,
        "model": {"embedder": options.embedder, **json.loads(options.model)},
        "data": {
            "source": events,
            "min_count": 1,
            "item_features": item_features,
            "item_columns": {"title": "text"},
        },
        "train": {"protocols": ["loo-full-unseen"], **json.loads(options.train)},
    }
    return seqzoo.train(recipe, options.work)


def main() -> None:
    """Train, extend, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="amazon-beauty")
    parser.add_argument("--architecture", default="sasrec")
    parser.add_argument("--embedder", default="item-features-position")
    parser.add_argument("--cut", default="2014-02-01", help="where the later events begin")
    parser.add_argument("--work", type=Path, default=Path("runs/new_items"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", default="{}", help="more settings of the model, as JSON")
    parser.add_argument("--train", default="{}", help="settings of training, as JSON")
    options = parser.parse_args()
    interactions = load_interactions(options.data, specs=catalogue().datasets)
    frame = interactions.frame.select("user", "item", timestamp="order")
    moment = datetime.fromisoformat(options.cut).replace(tzinfo=UTC).timestamp()
    old = frame.filter(pl.col("timestamp") < moment)
    later = frame.filter(pl.col("timestamp") >= moment)
    known = set(old["item"].to_list())
    new = [
        item for item in later["item"].unique(maintain_order=True).to_list() if item not in known
    ]
    histories, targets = questions(old, later, known)
    began = time.process_time()
    result = train(options, old, titles(interactions, sorted(known)))
    seconds = time.process_time() - began
    model = seqzoo.load(options.work)
    model.extend(new, titles(interactions, new))
    items = len(model.vocabulary)
    reached, chance = hit_rate(model, histories, targets), K / items
    report = {
        "data": options.data,
        "architecture": options.architecture,
        "embedder": options.embedder,
        "cut": options.cut,
        "old_events": old.height,
        "items": items,
        "new_items": len(new),
        "questions": len(targets),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "test_of_known_items": result.metrics.get("loo-full-unseen", {}),
        "hit@10": reached,
        "chance": chance,
        "times_chance": reached / chance,
        "cpu_seconds": round(seconds, 1),
    }
    print(json.dumps(report, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
