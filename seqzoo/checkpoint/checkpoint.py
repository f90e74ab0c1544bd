"""Save a model as a checkpoint folder, and load one: strictly, executing nothing that is in it."""

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from seqzoo import __version__
from seqzoo.checkpoint.atomic import settled, write_files
from seqzoo.checkpoint.build import build_empty, reinstall
from seqzoo.checkpoint.card import has_generated_blocks
from seqzoo.checkpoint.describe import card_of
from seqzoo.checkpoint.integrity import sha256_of_bytes
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    LARGEST,
    METRICS,
    RECIPE,
    VOCABULARY,
    WEIGHTS,
    Manifest,
    read_manifest,
    read_metrics,
    read_recipe,
    read_vocabulary,
    render_manifest,
)
from seqzoo.checkpoint.origin import remember, still_true
from seqzoo.checkpoint.recipe import render_recipe
from seqzoo.checkpoint.values import check_metrics
from seqzoo.checkpoint.weights import distinct_state, put_weights, read_weights, weights_bytes
from seqzoo.errors import CheckpointError, UsageError, nearest
from seqzoo.model import SequenceModel
from seqzoo.plugins import PluginRecord, catalogue, plugins

logger = logging.getLogger("seqzoo")


def save_checkpoint(
    folder: str | os.PathLike[str],
    model: SequenceModel,
    *,
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    card: str | None = None,
    overwrite: bool = True,
) -> Manifest:
    """Write a checkpoint: all of it, or after a crash nothing of it.

    Args:
        folder: made where it is missing; other files in it stay as they are.
        model: its weights, settings and vocabulary are saved.
        recipe: what reproduces it, as ``seqzoo train`` takes it.
        metrics: figures by protocol: ``{"metrics": {...}, "data": {...}, "users", ...}``.
        card: the model card; where None it is generated, and of one that is there only the
            generated blocks are replaced.
        overwrite: whether a checkpoint that is there may be replaced.

    Returns:
        What was written.

    Raises:
        CheckpointError: the folder cannot be written or holds something else, the weights hold
            NaN, or the recipe or the figures are not plain values.
    """
    folder = Path(folder)
    _refuse_foreign(folder, overwrite)
    check_metrics(folder / METRICS, metrics)
    state = distinct_state(model)[0]
    files = {
        WEIGHTS: weights_bytes(state),
        VOCABULARY: _json_bytes(model.vocabulary.to_json(), "the vocabulary", indent=None),
        RECIPE: render_recipe(recipe),
        METRICS: _json_bytes(dict(metrics), "the figures", indent=2),
    }
    for name, content in files.items():
        if len(content) > LARGEST.get(name, len(content)):
            raise CheckpointError(
                f"{folder / name} would have {len(content)} bytes, which nobody could load: "
                f"expected at most {LARGEST[name]}; shorten the titles or leave out items"
            )
    try:
        config = render_manifest(
            architecture=model.architecture,
            parts=model.parts,
            plugin=_plugin_of(model.architecture),
            config=model.config,
            files={
                name: {"sha256": sha256_of_bytes(content), "size": len(content)}
                for name, content in files.items()
            },
            created_with={
                "seqzoo": __version__,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"the model's settings cannot be saved: {error}; use texts, numbers and lists"
        ) from error
    if card is None:
        size = sum(len(content) for content in files.values())
        parameters = sum(tensor.numel() for tensor in state.values())
        card = _card(folder, model, recipe, metrics, parameters, size)
    if card is not None:
        files[CARD] = card.encode()
    write_files(folder, files | {CONFIG: config})
    return read_manifest(folder)


def save_model(folder: str | os.PathLike[str], model: SequenceModel) -> Manifest:
    """Write a model with the recipe and the figures it came with, where they are of its weights.

    Raises:
        CheckpointError: as ``save_checkpoint`` does.
    """
    recipe, metrics = still_true(model)
    return save_checkpoint(folder, model, recipe=recipe, metrics=metrics)


def load_checkpoint(
    folder: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> SequenceModel:
    """The model of a checkpoint folder, in evaluation mode.

    Args:
        folder: what ``save_checkpoint`` wrote.
        device: where the weights go.

    Raises:
        CheckpointError: a file is missing or damaged, the files do not belong together, or the
            plugin that provides the architecture is not at work.
        IntegrityError: a file differs from what was recorded.
        FormatVersionError: a newer seqzoo has written it.
        UsageError: there is no such device.
    """
    model = settled(folder, lambda: _load(read_manifest(folder)))
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"the model cannot be moved to device '{device}': {reason}; `seqzoo doctor` shows the "
            "devices that work"
        ) from error


def _load(manifest: Manifest) -> SequenceModel:
    path = manifest.folder / CONFIG
    _require_architecture(manifest)
    recipe, metrics = read_recipe(manifest), read_metrics(manifest)
    vocabulary = read_vocabulary(manifest)
    saved = manifest
    manifest, weights = _migrated(saved, read_weights(saved))
    model = build_empty(manifest, vocabulary, weights)
    _require_table(manifest, model, weights)
    if model.parts != manifest.parts:
        raise CheckpointError(
            f"{path} says {_named(manifest.parts)}, but '{manifest.architecture}' is "
            f"{_named(model.parts)} here; {reinstall(manifest)}"
        )
    put_weights(model, weights, str(manifest.folder / WEIGHTS))
    model.recipe, model.metrics = dict(recipe), dict(metrics)
    remember(model, manifest.files[WEIGHTS]["sha256"] if manifest is saved else None)
    return model.eval()


def _migrated(
    manifest: Manifest, weights: dict[str, torch.Tensor]
) -> tuple[Manifest, dict[str, torch.Tensor]]:
    """Settings and weights as the plugin here wants them, where another version saved them."""
    spec = catalogue().architectures.get(manifest.architecture)
    here = _plugin_of(manifest.architecture)["version"]
    saved = manifest.plugin["version"]
    if spec.migration is None or saved == here:
        return manifest, weights
    try:
        config, weights = spec.load_migration()(dict(manifest.config), dict(weights), saved)
    # The migration is foreign code: whatever it raises, the checkpoint is what cannot be loaded.
    except Exception as error:
        raise CheckpointError(
            f"{manifest.folder / CONFIG} was saved with {manifest.plugin['distribution']} {saved} "
            f"and cannot be brought up to {here}: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; {reinstall(manifest)}"
        ) from error
    return replace(manifest, config=dict(config)), dict(weights)


def _require_architecture(manifest: Manifest) -> None:
    """See that the plugin is at work, or say what to do that it is."""
    everything = plugins()
    name, plugin = manifest.architecture, manifest.plugin
    if name in everything.catalogue.architectures:
        return
    record = next((r for r in everything.records if r.name == plugin["name"]), None)
    raise CheckpointError(
        f"{manifest.folder / CONFIG} needs the architecture '{name}' of plugin "
        f"'{plugin['name']}' {plugin['version']}, which {_absence(manifest, record)}"
    )


def _absence(manifest: Manifest, record: PluginRecord | None) -> str:
    name, distribution = manifest.plugin["name"], manifest.plugin["distribution"]
    if record is None and name != "seqzoo":
        return f"is not installed; pip install {distribution}"
    if record is None:
        return f"this seqzoo {__version__} does not have; pip install -U seqzoo"
    if record.status == "disabled":
        return f"is switched off ({record.reason}); switch it on there"
    if record.status == "broken":
        return f"is broken: {record.reason.rstrip('.')}; pip install -U {distribution}"
    hint = nearest(manifest.architecture, plugins().catalogue.architectures.names())
    return (
        f"its version here, {record.version}, does not provide{hint or ';'} {reinstall(manifest)}"
    )


def _require_table(
    manifest: Manifest, model: SequenceModel, weights: Mapping[str, torch.Tensor]
) -> None:
    """The item table and the vocabulary must agree, else every recommendation names other items."""
    table = model.embedder.item_table
    name = next((name for name, value in model.named_parameters() if value is table), None)
    found = weights.get(name) if name is not None else None
    expected = len(model.vocabulary) + 1
    if found is not None and (found.dim() < 1 or found.shape[0] != expected):
        raise CheckpointError(
            f"{manifest.folder / VOCABULARY} has {len(model.vocabulary)} items, so {WEIGHTS} must "
            f"have {expected} rows in {name}, but its shape is {list(found.shape)}; the files do "
            "not belong together, fetch the checkpoint again"
        )


def _refuse_foreign(folder: Path, overwrite: bool) -> None:
    """Do not write over what is not ours to replace."""
    path = folder / CONFIG
    if not path.is_file():
        return
    if not overwrite:
        raise CheckpointError(
            f"{folder} holds a checkpoint already; choose another folder or pass overwrite=True"
        )
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # a damaged one of ours, most likely: saving again mends it
    if not isinstance(document, dict) or "format_version" not in document:
        raise CheckpointError(
            f"{path} is not a checkpoint of seqzoo and would be overwritten; choose another folder"
        )


def _plugin_of(architecture: str) -> dict[str, str]:
    everything = plugins()
    name = everything.catalogue.architectures.get(architecture).plugin
    for record in everything.records:
        if record.name == name:
            return {
                "name": name,
                "distribution": record.distribution,
                "version": record.version,
            }
    return {"name": name, "distribution": "seqzoo", "version": __version__}


def _named(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} '{name}'" for kind, name in sorted(parts.items()))


def _card(
    folder: Path,
    model: SequenceModel,
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    parameters: int,
    size: int,
) -> str | None:
    """The card with these figures, or None where somebody else's is to stay."""
    path = folder / CARD
    try:
        existing = path.read_text("utf-8") if path.exists() else None
        if existing is not None and not has_generated_blocks(existing):
            return None
        name = folder.resolve().name
        return card_of(
            model,
            name=name,
            source=name if name in catalogue().pretrained else f"./{name}",
            recipe=recipe,
            metrics=metrics,
            parameters=parameters,
            size=size,
            curve=CURVE if (folder / CURVE).is_file() else None,
            existing=existing,
        )
    # A card is no reason to lose a trained model: what is there stays.
    except (OSError, ValueError, CheckpointError) as error:
        logger.warning("%s is left as it is: %s", path, error)
        return None


def _json_bytes(document: object, what: str, indent: int | None) -> bytes:
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
        return (text + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{what} cannot be saved: {error}; use texts, finite numbers, lists and dicts"
        ) from error
