"""Checks before the first epoch, so that no run ends without its metrics."""

import logging
from dataclasses import replace
from pathlib import Path

from seqzoo.data.interactions import Interactions
from seqzoo.data.joined import joined
from seqzoo.data.prepare import log_summaries, prepare, settings_of_source
from seqzoo.data.readers.memory import InMemory
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import ChosenSplit, in_histories, leaked_events, split_text
from seqzoo.errors import DataError, TrainingError, nearest
from seqzoo.evaluation.protocol import Protocol, by_split
from seqzoo.training.features import with_item_features
from seqzoo.training.recipe import Recipe

__all__ = ["check_protocols", "prepare_data", "training_split"]

logger = logging.getLogger("seqzoo")


def prepare_data(
    recipe: Recipe,
    source: str | Path | Interactions | InMemory | None = None,
    older: str | Path | Interactions | InMemory | None = None,
    features: InMemory | None = None,
) -> SequenceData:
    """Read and filter the data of a recipe; warn if their fingerprint differs from the recipe's.

    Data for a recipe with a start have the items of that checkpoint in their order.

    Args:
        recipe: its section ``data`` says how to read and filter.
        source: what to read instead of its ``data.source``.
        older: what to read instead of its ``data.replay_source``.
        features: what to read instead of its ``data.item_features``.

    Raises:
        DataError: the data cannot be read, or no history is long enough to train on.
        TrainingError: a setting needs a start or older data, and there are none.
    """
    older = recipe.data.replay_source if older is None else older
    _check_replay(recipe, older is not None)
    data = prepare(recipe.data, source)
    if recipe.start is not None:
        if older is not None:
            # No k-core, as the start's items are known; prepared data have theirs already.
            least = int(settings_of_source(older).get("min_count", 1))
            before = prepare(replace(recipe.data, min_count=least), older)
            data = joined(before, data, recipe.start.model.vocabulary)
        data = recipe.start.with_new_items(data)
    data = with_item_features(recipe, data, features)
    longest = int(data.sequences.lengths.max())
    if longest < 2:
        raise DataError(
            f"{data.name}: the longest history has {longest} interactions; training needs one of 2 "
            "or more: one event predicts the next, and validation and test hold out later ones"
        )
    expected = recipe.data.fingerprint
    if expected and expected != data.fingerprint:
        logger.warning(
            "the data differ from those of the recipe: their fingerprint is %s, the recipe's is %s",
            data.fingerprint,
            expected,
        )
    log_summaries(data)
    return data


def _check_replay(recipe: Recipe, has_older: bool) -> None:
    """Check that the settings of replay are used together, and with a start."""
    if has_older and recipe.start is None:
        raise TrainingError(
            "data.replay_source is for runs that continue from a checkpoint, and the recipe has no "
            "start; train a checkpoint (`seqzoo train CHECKPOINT --data NEWER`), or give all "
            "events as --data"
        )
    if recipe.train.replay and not has_older:
        raise TrainingError(
            f"train.replay is {recipe.train.replay}, and there are no older events to train on "
            "again; give them as data.replay_source"
        )


def check_protocols(recipe: Recipe, protocols: list[Protocol]) -> None:
    """Check that a model trained by a recipe can be measured, without leaks, under protocols.

    Raises:
        TrainingError: a protocol filters or sorts differently, or none measures ``train.metric``.
    """
    first, order, minimum = protocols[0], recipe.data.order, recipe.data.min_count
    for protocol in protocols:
        if protocol.min_count not in (None, minimum):
            raise TrainingError(
                f"the protocol '{protocol.name}' uses the {protocol.min_count}-core, but "
                f"data.min_count is {minimum}, so its metrics could not be reproduced; set "
                f"data.min_count={protocol.min_count} or other train.protocols"
            )
        if protocol.order != order:
            raise TrainingError(
                f"the protocol '{protocol.name}' tests on events in the order "
                f"'{protocol.order}', data.order is '{order}': it would test on events that were "
                "trained on; for RecBole's order set data.order=float32-time-row and "
                "train.protocols=[loo-recbole]"
            )
    known = [f"{name}@{cutoff}" for name in first.metrics for cutoff in first.cutoffs]
    metric = recipe.train.metric
    if metric not in known:
        raise TrainingError(
            f"train.metric is '{metric}'{nearest(metric, known) or ';'} the protocol "
            f"'{first.name}' has: {', '.join(known)}"
        )


def training_split(recipe: Recipe, protocols: list[Protocol], data: SequenceData) -> ChosenSplit:
    """The split of the first protocol, checked against the data and the other protocols.

    Says how many events are for training, for validation and for testing.

    Raises:
        ConfigError: a setting of the split is unknown or has an invalid value.
        DataError: the data cannot be split in this way, or no history is long enough to train on.
        TrainingError: a protocol keeps events for testing that are trained on, or validated on,
            under the split of the first one.
    """
    groups = by_split(protocols, recipe.data.split)
    chosen = groups[0][0]
    train, valid = chosen.part(data, "train"), chosen.part(data, "valid")
    longest = int((train.history_end - train.history_start).max())
    if longest < 2:
        whole = int(data.sequences.lengths.max())
        raise DataError(
            f"{data.name}: the longest history has {whole} interactions, {longest} of them for "
            f"training under the split '{chosen.name}'; training needs a history of 2 or more, and "
            "validation and test hold out later events"
        )
    used = in_histories(data.sequences, train)
    logger.info(
        "%s, split '%s': training on %s of %s interactions of %s users",
        data.name,
        chosen.name,
        f"{int(used.sum()):,}",
        f"{len(used):,}",
        f"{int((train.history_end > train.history_start).sum()):,}",
    )
    logger.info("validation: %s", split_text(chosen.facts(data.sequences, valid)))
    for other, group in groups:
        if leaked := leaked_events(data, chosen, other):
            raise TrainingError(
                f"the protocol '{group[0].name}' keeps {leaked:,} events for testing that "
                f"'{protocols[0].name}' trains or validates on: their splits, '{other.name}' and "
                f"'{chosen.name}', differ; name protocols of one split as train.protocols"
            )
        test = other.part(data, "test")
        logger.info("test: %s", split_text(other.facts(data.sequences, test)))
    return chosen
