"""What a model was loaded with, so that figures are not saved beside weights they are not of."""

import copy
import logging
from dataclasses import dataclass
from typing import Any

from seqzoo.checkpoint.integrity import sha256_of_bytes
from seqzoo.checkpoint.weights import distinct_state, weights_bytes
from seqzoo.model import SequenceModel

logger = logging.getLogger("seqzoo")


@dataclass(frozen=True)
class Origin:
    """The weights of a loaded checkpoint, and what was said of them.

    Attributes:
        weights: sha256 of the model's tensors as they were loaded.
        recipe: what trained them.
        metrics: what they were measured at.
    """

    weights: str
    recipe: dict[str, Any]
    metrics: dict[str, Any]


def remember(model: SequenceModel, weights: str | None) -> None:
    """Note the recipe and the figures of a model as those of its weights.

    Args:
        model: as it was loaded.
        weights: their sha256, where it is known from the file.
    """
    weights = _digest(model) if weights is None else weights
    model.origin = Origin(weights, copy.deepcopy(model.recipe), copy.deepcopy(model.metrics))


def still_true(model: SequenceModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe and the figures of a model, without those that its weights have left behind.

    What was set on the model after loading is taken as it is.
    """
    recipe, metrics, origin = model.recipe, model.metrics, model.origin
    if not isinstance(origin, Origin) or _digest(model) == origin.weights:
        return recipe, metrics
    left = []
    if recipe and recipe == origin.recipe:
        recipe, left = {}, ["recipe"]
    if metrics and metrics == origin.metrics:
        metrics, left = {}, [*left, "figures"]
    if left:
        logger.warning(
            "the weights are no longer those that were loaded, so the %s of those %s left out; "
            "`seqzoo eval` measures new figures",
            " and the ".join(left),
            "are" if len(left) > 1 or left == ["figures"] else "is",
        )
    return recipe, metrics


def _digest(model: SequenceModel) -> str:
    return sha256_of_bytes(weights_bytes(distinct_state(model)[0]))
