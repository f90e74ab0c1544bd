"""Items for the kit: features of every kind, and the check of items that are added to a model."""

import copy
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from seqzoo.config import choose_parts
from seqzoo.data.item_table import FeatureColumn, ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.probes import example_batch, last_of

__all__ = ["build", "check_item_features", "check_new_items", "example_features"]


def example_features(count: int, seed: int = 0) -> ItemTable:
    """Random features of all kinds, each of which some items lack."""
    draw = np.random.default_rng(seed)
    words = ("red", "green", "lamp", "chair", "small", "wooden")

    def some(most: int) -> list[list[str]]:
        return [[str(w) for w in draw.choice(words, draw.integers(0, most))] for _ in range(count)]

    price = draw.lognormal(2.0, 1.0, count)
    price[draw.random(count) < 0.2] = np.nan
    vectors = draw.normal(size=(count, 5)).astype(np.float32)
    vectors[draw.random(count) < 0.2] = 0
    return ItemTable(
        (
            FeatureColumn("title", "text", tuple(" ".join(each) for each in some(5))),
            FeatureColumn("brand", "category", tuple("".join(each) for each in some(2))),
            FeatureColumn("tags", "categories", tuple(map(tuple, some(4)))),
            FeatureColumn("price", "number", price),
            FeatureColumn("picture", "vector", vectors),
        )
    )


def build(architecture: str, settings: Mapping[str, Any], vocabulary: Vocabulary) -> SequenceModel:
    """A fresh model, with example features if its embedder reads any."""
    everything = catalogue()
    spec = choose_parts(everything.architectures.get(architecture), settings, everything)
    reads = everything.embedders.get(spec.embedder).load().uses_item_features
    features = example_features(len(vocabulary)) if reads else None
    return SequenceModel.build(architecture, settings, vocabulary, features)


def check_item_features(model: SequenceModel) -> None:
    """An embedder that reads item features: other features give the items other vectors."""
    if not model.embedder.uses_item_features:
        return
    other = example_features(len(model.vocabulary), seed=1)
    with torch.random.fork_rng(devices=[]):
        changed = SequenceModel.build(model.architecture, model.config, model.vocabulary, other)
    changed.to(model.device).load_state_dict(model.state_dict())
    with torch.no_grad():
        before, after = model.eval().embedder.item_table, changed.eval().embedder.item_table
        if torch.equal(before, after):
            raise ConformanceError(
                "item features: uses_item_features is True, but other features change no vector; "
                "read the item_table that fit() is given, or set uses_item_features=False"
            )


def check_new_items(model: SequenceModel) -> None:
    """Items can be added: existing items keep their scores, and the larger model can be saved."""
    if model.head.closed_form:
        return
    larger = copy.deepcopy(model)
    batch = example_batch(model)
    count = len(model.vocabulary) + 1
    features = None
    if model.item_features is not None:
        table = example_features(2, seed=1)
        features = {"item_id": ["new-1", "new-2"]} | {
            column.name: [_plain(value) for value in column.values] for column in table.columns
        }
    larger.extend(["new-1", "new-2"], features)
    with torch.no_grad():
        before = model.head(last_of(model, batch))
        after = larger.head(last_of(larger, batch))
    if after.shape[-1] != count + 2 or not bool(after.isfinite().all()):
        raise ConformanceError(
            f"new items: {count + 2} finite scores expected after two items were added to "
            f"{count - 1}; found {after.shape[-1]}"
        )
    if not torch.allclose(after[:, :count], before, rtol=1e-5, atol=1e-6):
        raise ConformanceError(
            "new items: items that are added change the scores of the others; keep what is learned "
            "from the items (a mean, a list of categories) in buffers of the state"
        )
    with TemporaryDirectory() as folder:
        larger.save_pretrained(Path(folder) / "larger")
        again = SequenceModel.from_pretrained(Path(folder) / "larger").to(model.device)
    with torch.no_grad():
        if not torch.equal(again.head(last_of(again, batch)), after):
            raise ConformanceError("new items: a larger model scores differently after loading")


def _plain(value: Any) -> Any:
    """A value as a table in memory holds it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and np.isnan(value) else value
