"""The card of a model: what a registered architecture and data set add to a checkpoint's files."""

from collections.abc import Mapping
from typing import Any

from seqzoo.checkpoint.card import model_card
from seqzoo.checkpoint.card_sections import data_name
from seqzoo.model import SequenceModel
from seqzoo.plugins import catalogue


def card_of(
    model: SequenceModel,
    *,
    name: str,
    source: str,
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    parameters: int,
    size: int,
    curve: str | None,
    existing: str | None,
) -> str:
    """The generated card; arguments as in ``model_card``.

    Raises:
        CheckpointError: the existing card's front matter cannot be read.
    """
    everything = catalogue()
    spec = everything.architectures.get(model.architecture)
    data = data_name(recipe, metrics)
    return model_card(
        name=name,
        architecture=model.architecture,
        paper=spec.paper,
        description=spec.description,
        config=model.config,
        recipe=recipe,
        metrics=metrics,
        vocabulary_size=len(model.vocabulary),
        parameters=parameters,
        size=size,
        curve=curve,
        dataset=everything.datasets.get(data) if data and data in everything.datasets else None,
        source=source,
        example=model.vocabulary.items[:3],
        published=spec.published_for(model.config),
        existing=existing,
    )
