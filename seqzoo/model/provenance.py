"""The origin of a model, so that no outdated recipe or metrics are saved with its weights."""

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from seqzoo.model.weights import distinct_state
from seqzoo.storage.tensors import EncodedTensors

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["AsBuilt", "Provenance", "still_true", "weights_digest"]

logger = logging.getLogger("seqzoo")


@dataclass(frozen=True)
class AsBuilt:
    """The model that loading a checkpoint would build.

    Attributes:
        config: resolved settings.
        num_items: size V of the vocabulary.
        tensors: shape and dtype by name, each tied tensor once.
    """

    config: Mapping[str, Any]
    num_items: int
    tensors: Mapping[str, tuple[torch.Size, torch.dtype]]

    @classmethod
    def of(cls, model: "SequenceModel") -> "AsBuilt":
        """Describe a model that has just been built."""
        state = distinct_state(model)[0]
        return cls(
            copy.deepcopy(model.config),
            len(model.vocabulary),
            {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()},
        )


@dataclass(frozen=True)
class Provenance:
    """The weights of a loaded checkpoint, with the recipe and metrics of its folder.

    Attributes:
        weights: sha256 of the model's tensors as they were loaded.
        recipe: their training recipe.
        metrics: their stored metrics by protocol.
    """

    weights: str
    recipe: dict[str, Any]
    metrics: dict[str, Any]

    @classmethod
    def of(cls, model: "SequenceModel", weights: str | None = None) -> "Provenance":
        """Note the recipe and the metrics of a model that has just been loaded.

        Args:
            model: as it was loaded.
            weights: sha256 of its tensors, if the file records it.
        """
        digest = weights_digest(model) if weights is None else weights
        return cls(digest, copy.deepcopy(model.recipe), copy.deepcopy(model.metrics))


def still_true(
    model: "SequenceModel", recipe_wanted: bool = True, metrics_wanted: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe and the metrics of a model; empty if its weights have changed since loading.

    A recipe or metrics that were set on the model after loading are kept.

    Args:
        model: as it is now.
        recipe_wanted: whether the recipe will be used.
        metrics_wanted: whether the metrics will be used.
    """
    recipe, metrics, loaded = model.recipe, model.metrics, model.provenance
    wanted = recipe_wanted or metrics_wanted
    if loaded is None or not wanted or weights_digest(model) == loaded.weights:
        return recipe, metrics
    left = []
    if recipe_wanted and recipe and recipe == loaded.recipe:
        recipe, left = {}, ["recipe"]
    if metrics_wanted and metrics and metrics == loaded.metrics:
        metrics, left = {}, [*left, "metrics"]
    if left:
        logger.warning(
            "the weights have changed since loading, so the old %s not saved with them; "
            "`seqzoo eval` measures new metrics",
            " and ".join(left) + (" are" if left != ["recipe"] else " is"),
        )
    return recipe, metrics


def weights_digest(model: "SequenceModel") -> str:
    """The sha256 of a model's tensors, equal to that of its ``model.safetensors``."""
    return EncodedTensors(distinct_state(model)[0]).sha256
