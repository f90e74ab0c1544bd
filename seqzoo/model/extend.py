"""Add items to a model: the known ones keep their indices and weights, the new ones get rows.

A row is the vector of an item in the embedder's table, its bias in a head, or anything else that a
part keeps for every item: all tensors that become larger when there are more items.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from seqzoo.data.item_table import LABELS_KINDS, ItemTable, aligned, table_of_labels
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, UsageError
from seqzoo.model.weights import distinct_state
from seqzoo.storage.messages import listing
from seqzoo.validation import list_of

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["ModelT", "extended_features", "extended_vocabulary", "with_items"]

ModelT = TypeVar("ModelT", bound="SequenceModel")


def extended_vocabulary(
    known: Vocabulary, items: Sequence[str], labels: Sequence[str | None] | None = None
) -> Vocabulary:
    """A vocabulary with new items after the known ones, whose indices do not change.

    New items have no interactions, if the vocabulary counts them.

    Args:
        known: the items of a model.
        items: ids of the new items.
        labels: their titles, or None.

    Raises:
        UsageError: an id is not text or known already, or the numbers of items and labels differ.
        DataError: an id is empty or given twice, or a label is not text.
    """
    items = list_of("items", "item ids", items)
    if not items:
        raise UsageError("no items to add; expected a list of at least one item id")
    for item in items:
        if not isinstance(item, str):
            raise UsageError(f"item {item!r} is {type(item).__name__}; item ids are strings")
        if item in known:
            raise UsageError(f"item '{item}' is in the model already; give only new items")
    if labels is not None and len(labels) != len(items):
        raise UsageError(f"{len(labels)} labels for {len(items)} items; expected one for each")
    titles: list[str | None] | None = None
    if labels is not None or known.labels is not None:
        titles = [
            *(known.labels or [None] * len(known)),
            *([None] * len(items) if labels is None else labels),
        ]
    counts = None if known.counts is None else [*known.counts, *[0] * len(items)]
    return Vocabulary([*known.items, *items], titles, counts, known.features)


def extended_features(
    model: "SequenceModel", vocabulary: Vocabulary, features: Any
) -> ItemTable | None:
    """A model's item features with rows for the new items of a vocabulary.

    Args:
        model: its features are those of its own items.
        vocabulary: its items, then the new ones.
        features: a file or a table in memory with the features of the new items; None takes their
            titles, if the model reads only these, or no values.

    Raises:
        UsageError: the model reads no features, and there are some.
        DataError: the features cannot be read, or lack a column that the model reads.
    """
    known = model.item_features
    if known is None:
        if features is not None:
            raise UsageError(
                f"the model's embedder '{model.embedder_name}' reads no item features; leave them "
                "out"
            )
        return None
    new = vocabulary.items[len(model.vocabulary) :]
    if not new:
        return known
    if features is None:
        more = None
        if known.kinds == LABELS_KINDS and vocabulary.labels is not None:
            more = table_of_labels(vocabulary.labels[len(model.vocabulary) :])
    else:
        # Reading tables takes polars, which a model that only scores does without.
        from seqzoo.data.readers.item_features import read_item_features

        ids, columns = read_item_features(features, known.kinds)
        more = aligned(columns, ids, new)
    return known.extended(more, len(new))


def with_items(
    model: ModelT,
    vocabulary: Vocabulary,
    *,
    settings: Mapping[str, Any] | None = None,
    item_features: ItemTable | None = None,
    seed: int = 0,
) -> ModelT:
    """A copy of a model with more items, and with other settings if they leave the weights usable.

    A new row is drawn from a normal distribution with the mean and the standard deviation of the
    rows of the items that the model was trained on (of all items, if it does not count them), value
    by value.

    Args:
        model: copied; it does not change.
        vocabulary: its items in their order, then the new ones.
        settings: settings that differ from the model's.
        item_features: the features of all items, if the model reads any.
        seed: the seed of the new rows.

    Raises:
        ConfigError: with a changed setting the weights do not fit; names the setting.
        UsageError: the model learns by counting, or a part keeps something for
            the items that does not grow with their number.
    """
    if model.head.closed_form:
        raise UsageError(
            f"{model.architecture} is fitted by counting and cannot continue from earlier counts; "
            f"train it on all events: `seqzoo train {model.architecture} --data …`"
        )
    config = {**model.config, **(settings or {})}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bigger = type(model).build(model.architecture, config, vocabulary, item_features)
    bigger = bigger.to(model.device)
    if (dtype := model.embedder.item_table.dtype) != bigger.embedder.item_table.dtype:
        bigger = bigger.to(dtype)
    source, target = distinct_state(model)[0], distinct_state(bigger)[0]
    known, added = len(model.vocabulary), len(vocabulary) - len(model.vocabulary)
    if wrong := _misfits(source, target, added):
        raise _misfit(model, config, wrong)
    trained = np.arange(known)
    if model.vocabulary.counts is not None and any(model.vocabulary.counts):
        trained = np.flatnonzero(model.vocabulary.counts)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in target.items():
            old = source[name]
            dimension = _grown(old, tensor, added)
            if dimension is None:
                tensor.copy_(old)
                continue
            rows, new_rows = old.movedim(dimension, 0), tensor.movedim(dimension, 0)
            new_rows[: len(rows)] = rows
            # The first rows are not items: padding, and what else a part puts before them.
            alike = rows[torch.from_numpy(trained + len(rows) - known).to(rows.device)]
            if tensor.is_floating_point():
                new_rows[len(rows) :] = _drawn(alike, added, generator)
        if added:
            bigger.embedder.add_items(known)
    bigger.recipe, bigger.metrics = dict(model.recipe), dict(model.metrics)
    bigger.provenance = model.provenance
    return bigger.train(model.training)


def _drawn(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """New rows with the mean and the standard deviation of rows, value by value."""
    noise = torch.randn((count, *rows.shape[1:]), generator=generator, dtype=torch.float32)
    spread = rows.std(0, correction=0)
    return rows.mean(0) + spread * noise.to(rows.device, rows.dtype)


def _grown(old: Tensor, new: Tensor, added: int) -> int | None:
    """The dimension along which a tensor has ``added`` more entries; None if shapes are equal."""
    if old.shape == new.shape:
        return None
    return next(d for d in range(old.dim()) if old.shape[d] != new.shape[d])


def _misfits(source: Mapping[str, Tensor], target: Mapping[str, Tensor], added: int) -> list[str]:
    """The names of tensors that differ in more than the rows of the new items."""
    wrong = sorted(source.keys() ^ target.keys())
    for name in source.keys() & target.keys():
        old, new = source[name].shape, target[name].shape
        more = [n - o for o, n in zip(old, new, strict=False) if n != o]
        if len(old) != len(new) or more not in ([], [added]):
            wrong.append(name)
    return wrong


def _misfit(
    model: "SequenceModel", config: Mapping[str, Any], wrong: Sequence[str]
) -> ConfigError | UsageError:
    """The error that names the changed settings with which the weights do not fit."""
    changed = [key for key, value in config.items() if model.config.get(key) != value]
    if not changed:
        return UsageError(
            f"items cannot be added to {model.architecture}: {listing(wrong)} does not grow with "
            "the number of items by one row for each"
        )
    source = distinct_state(model)[0]
    guilty = []
    for key in changed:
        with torch.random.fork_rng(devices=[]):
            other = type(model).build(
                model.architecture,
                {**model.config, key: config[key]},
                model.vocabulary,
                model.item_features,
            )
        if _misfits(source, distinct_state(other)[0], 0):
            guilty.append(key)
    guilty = guilty or changed
    named = ", ".join(
        f"model.{key} is {config[key]} and {model.config.get(key, 'not set')} in the weights"
        for key in guilty[:3]
    )
    return ConfigError(
        f"the weights of the {model.architecture} do not fit: {named}; leave out "
        f"{listing([f'model.{key}' for key in guilty])}, or train from new weights"
    )
