"""The model that a run starts with: new weights or a checkpoint's, some of them frozen."""

from seqzoo.data.item_table import ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import TrainingError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.recipe import Recipe

__all__ = ["initial_model", "notes_of"]


def initial_model(
    recipe: Recipe, vocabulary: Vocabulary, item_features: ItemTable | None
) -> SequenceModel:
    """A model with random weights from torch's global generator, or with those of the start.

    Args:
        recipe: the run's.
        vocabulary: the items with the numbers of their training events.
        item_features: their features, if the model reads any.

    Raises:
        ConfigError: the weights of the start do not fit the settings.
        UsageError: the model reads item features and there are none, or the other way around.
        TrainingError: all parts that learn are frozen.
    """
    if recipe.start is None:
        model = SequenceModel.build(recipe.architecture, recipe.model, vocabulary, item_features)
    else:
        model = recipe.start.model_for(vocabulary, recipe.model, item_features, recipe.train.seed)
    for part in recipe.train.freeze:
        getattr(model, part).requires_grad_(False)
    learns = any(parameter.requires_grad for parameter in model.parameters())
    if model.head.closed_form:
        # It is fitted in one call, and no other part is trained then.
        learns = "head" not in recipe.train.freeze
    if not learns:
        raise TrainingError(
            f"train.freeze={recipe.train.freeze} leaves nothing to train; freeze fewer parts"
        )
    return model


def notes_of(recipe: Recipe, model: SequenceModel) -> list[str]:
    """What to tell the user at the beginning of a run, apart from its size."""
    start, config = recipe.start, recipe.train
    notes = [] if start is None else start.notes(model.vocabulary)
    if config.freeze:
        notes.append(f"frozen: {', '.join(config.freeze)}")
        if "embedder" in config.freeze and start is not None:
            added = start.new_items(model.vocabulary)
            notes += [f"the {added:,} new items keep the vectors that were drawn"] if added else []
    if config.hold_out == "none":
        notes.append(f"all events for {config.epochs} epochs: no validation, no stored metrics")
    return notes
