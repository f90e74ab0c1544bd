"""Save a model as a checkpoint, after checking that loading will build the same model."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from seqzoo.checkpoint.folder import render_checkpoint, write_checkpoint
from seqzoo.checkpoint.manifest import Manifest
from seqzoo.checkpoint.record import Checkpoint
from seqzoo.errors import CheckpointError
from seqzoo.model.provenance import still_true
from seqzoo.model.weights import distinct_state
from seqzoo.storage.messages import listing

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["checkpoint_of", "save_model"]


def save_model(
    folder: str | os.PathLike[str],
    model: "SequenceModel",
    *,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    card: str | None = None,
    overwrite: bool = True,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
) -> Manifest:
    """Write a model as a checkpoint, atomically.

    Args:
        folder: created if it is missing; other files in it do not change.
        model: its weights, settings and vocabulary are saved.
        recipe: the recipe that reproduces it; if None, the one that the model was loaded with,
            unless its weights have changed since.
        metrics: metrics by protocol; if None, as for ``recipe``.
        card: the model card; generated if None.
        overwrite: whether an existing checkpoint may be replaced.
        kept: entries of ``Manifest.files`` for files that an earlier save has written to the folder
            and that do not change; they are neither hashed nor written again.

    Returns:
        What was written.

    Raises:
        CheckpointError: the folder cannot be written or holds something else, loading would build a
            different model, its weights hold NaN, or the recipe or the metrics are not plain
            values.
    """
    checkpoint = checkpoint_of(model, folder, recipe=recipe, metrics=metrics, kept=kept)
    write_checkpoint(checkpoint, card=card, overwrite=overwrite)
    return checkpoint.manifest


def checkpoint_of(
    model: "SequenceModel",
    folder: str | os.PathLike[str],
    *,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
) -> Checkpoint:
    """A model as a checkpoint in memory; arguments and errors as for ``save_model``."""
    tensors = distinct_state(model)[0]
    _require_loadable(model, tensors, Path(folder))
    own_recipe, own_metrics = still_true(model, recipe is None, metrics is None)
    return render_checkpoint(
        folder,
        architecture=model.architecture,
        parts=model.parts,
        config=model.config,
        vocabulary=model.vocabulary,
        tensors=tensors,
        recipe=own_recipe if recipe is None else recipe,
        metrics=own_metrics if metrics is None else metrics,
        item_features=model.item_features,
        kept=kept,
    )


def _require_loadable(model: "SequenceModel", tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Check that loading would build the same model, before anything is written."""
    built = model.as_built
    if model.config != built.config:
        changed = sorted(
            key
            for key in model.config.keys() | built.config.keys()
            if model.config.get(key) != built.config.get(key)
        )
        raise CheckpointError(
            f"{folder}: the model cannot be saved: its config was changed after it was built "
            f"({listing(changed)}); build a model with these settings: seqzoo.create(…)"
        )
    if len(model.vocabulary) != built.num_items:
        raise CheckpointError(
            f"{folder}: the model cannot be saved: its vocabulary has {len(model.vocabulary)} "
            f"items, its item table was built for {built.num_items}; build a model for the new "
            "vocabulary and copy the weights"
        )
    expected = built.tensors
    problems = [f"lacks {name}" for name in sorted(expected.keys() - tensors.keys())]
    problems += [
        f"has the extra tensor {name}" for name in sorted(tensors.keys() - expected.keys())
    ]
    for name in sorted(expected.keys() & tensors.keys()):
        shape, dtype = expected[name]
        if tensors[name].shape != shape:
            problems.append(f"{name} has shape {list(tensors[name].shape)}, not {list(shape)}")
        elif tensors[name].dtype != dtype:
            problems.append(f"{name} is {tensors[name].dtype}, not {dtype}")
    if problems:
        raise CheckpointError(
            f"{folder}: the model cannot be saved, because loading would build a different one: it "
            f"{listing(problems)}; undo what was changed after building (model.float() for a "
            "dtype), or register an architecture of your own"
        )
