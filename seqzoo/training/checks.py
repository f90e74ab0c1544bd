"""Checks before the first epoch, so that no run ends without its metrics."""

import logging
from pathlib import Path

from seqzoo.data.interactions import Interactions
from seqzoo.data.prepare import log_summaries, prepare
from seqzoo.data.readers.memory import InMemory
from seqzoo.data.sequences import SequenceData
from seqzoo.errors import DataError, TrainingError, nearest
from seqzoo.evaluation.protocol import Protocol
from seqzoo.training.recipe import Recipe

logger = logging.getLogger("seqzoo")

_SHORTEST = 4
"""Two interactions are held out, and one of the others has to be predicted from the one before."""


def prepare_data(
    recipe: Recipe, source: str | Path | Interactions | InMemory | None = None
) -> SequenceData:
    """Read and filter the data of a recipe; warn if their fingerprint differs from the recipe's.

    Args:
        recipe: its section ``data`` says how to read and filter.
        source: what to read instead of its ``data.source``.

    Raises:
        DataError: the data cannot be read, or no history is long enough to train on.
    """
    data = prepare(recipe.data, source)
    expected = recipe.data.fingerprint
    if expected and expected != data.fingerprint:
        logger.warning(
            "the data differ from those of the recipe: their fingerprint is %s, the recipe's is %s",
            data.fingerprint,
            expected,
        )
    longest = int(data.sequences.lengths.max())
    if longest < _SHORTEST:
        raise DataError(
            f"{data.name}: the longest history has {longest} interactions; training needs one "
            f"of {_SHORTEST} or more, as the last two are held out"
        )
    log_summaries(data)
    return data


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
