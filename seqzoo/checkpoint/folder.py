"""Render a checkpoint into bytes and write it into its folder atomically."""

import json
import logging
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqzoo.checkpoint.card import card_of, has_generated_blocks
from seqzoo.checkpoint.features_file import render_item_features
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    FEATURES,
    HASHED,
    LARGEST,
    METRICS,
    RECIPE,
    VOCABULARY,
    WEIGHTS,
    parse_manifest_bytes,
    render_manifest,
)
from seqzoo.checkpoint.pins import known_checkpoints
from seqzoo.checkpoint.recipe_file import render_recipe
from seqzoo.checkpoint.record import Checkpoint
from seqzoo.checkpoint.schemas import MetricsFile, VocabularyFile
from seqzoo.data.item_table import ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.plugins import plugins
from seqzoo.storage.atomic import Content, write_files
from seqzoo.storage.documents import check, parse_json, plain
from seqzoo.storage.integrity import read_bytes, sha256_of_bytes
from seqzoo.storage.tensors import EncodedTensors
from seqzoo.version import __version__

__all__ = ["plugin_of", "render_checkpoint", "write_checkpoint"]

logger = logging.getLogger("seqzoo")

_LARGE = 64 << 20
"""Tensors up to this size in bytes are held until they are written."""


def render_checkpoint(
    folder: str | os.PathLike[str],
    *,
    architecture: str,
    parts: Mapping[str, str],
    config: Mapping[str, Any],
    vocabulary: Vocabulary,
    tensors: Mapping[str, Tensor],
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    item_features: ItemTable | None = None,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
) -> Checkpoint:
    """A checkpoint with the bytes of its files, not written yet.

    Args:
        folder: the checkpoint's future folder.
        architecture: registered name.
        parts: registered names of ``embedder``, ``backbone`` and ``head``.
        config: resolved settings of the model.
        vocabulary: the items in index order.
        tensors: weights by name, each tied tensor once.
        recipe: everything needed to reproduce it, as ``seqzoo train`` takes it.
        metrics: metrics by protocol: ``{"metrics": {...}, "data": {...}, "users", ...}``.
        item_features: the features of the items, if the model reads any.
        kept: entries of ``Manifest.files`` for files that are in the folder already and do not
            change; they are not rendered again unless one is missing or has another size.

    Raises:
        CheckpointError: the weights hold NaN, or the settings, the recipe or the metrics are not
            plain values.
    """
    folder, entries = Path(folder), plain("the metrics", dict(metrics))
    render: dict[str, Callable[[], bytes | EncodedTensors]] = {
        WEIGHTS: lambda: _held(EncodedTensors(tensors)),
        VOCABULARY: lambda: _rendered(
            folder / VOCABULARY,
            vocabulary.to_json(),
            VocabularyFile,
            "change the ids or the titles of the items",
        ),
        RECIPE: lambda: render_recipe(recipe),
        METRICS: lambda: _rendered(
            folder / METRICS, entries, MetricsFile, "change the metrics", indent=2
        ),
    }
    if item_features is not None:
        render[FEATURES] = lambda: _held(render_item_features(item_features))
    contents: dict[str, bytes | EncodedTensors] = {}
    files = {}
    for name in render:
        entry, path = (kept or {}).get(name), folder / name
        if entry is not None and path.is_file() and path.stat().st_size == entry["size"]:
            files[name] = dict(entry)
            continue
        content = contents[name] = render[name]()
        if len(content) > LARGEST.get(name, len(content)):
            raise CheckpointError(
                f"{path} would have {len(content)} bytes, expected at most "
                f"{LARGEST[name]}: it could not be loaded; shorten the titles or the features, or "
                "leave out items"
            )
        sha256 = sha256_of_bytes(content) if isinstance(content, bytes) else content.sha256
        files[name] = {"sha256": sha256, "size": len(content)}
    contents[CONFIG] = config_file = render_manifest(
        architecture=architecture,
        parts=parts,
        plugin=plugin_of(architecture),
        config=config,
        files=files,
        created_with={
            "seqzoo": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    )
    manifest = parse_manifest_bytes(folder / CONFIG, config_file)
    return Checkpoint(
        manifest, vocabulary, dict(recipe), entries, dict(tensors), contents, item_features
    )


def write_checkpoint(
    checkpoint: Checkpoint, *, card: str | None = None, overwrite: bool = True
) -> None:
    """Write a rendered checkpoint into its folder; other files in it stay as they are.

    Args:
        checkpoint: returned by ``render_checkpoint``.
        card: the model card; None to generate it. In an existing card only the generated blocks
            are replaced.
        overwrite: whether an existing checkpoint may be replaced.

    Raises:
        CheckpointError: the folder cannot be written or holds something else.
    """
    folder = checkpoint.manifest.folder
    _refuse_foreign(folder, overwrite)
    files: dict[str, Content] = {
        name: content.write if isinstance(content, EncodedTensors) else content
        for name, content in checkpoint.contents.items()
    }
    card = _card(checkpoint) if card is None else card
    if card is not None:
        files[CARD] = card.encode()
    # config.json last: all other files are checked against it.
    files[CONFIG] = files.pop(CONFIG)
    write_files(folder, files)


def plugin_of(architecture: str) -> dict[str, str]:
    """Name, distribution and version of the plugin that provides an architecture."""
    everything = plugins()
    name = everything.catalogue.architectures.get(architecture).plugin
    for record in everything.records:
        if record.name == name:
            return {"name": name, "distribution": record.distribution, "version": record.version}
    return {"name": name, "distribution": "seqzoo", "version": __version__}


def _rendered(
    path: Path, document: Mapping[str, Any], schema: Any, remedy: str, indent: int | None = None
) -> bytes:
    """A JSON file, checked with the schema of reading: a checkpoint that is written must load."""
    check(path, document, schema, remedy)
    return (json.dumps(document, indent=indent, ensure_ascii=False) + "\n").encode()


def _held(encoded: EncodedTensors) -> bytes | EncodedTensors:
    # Small tensors as they are now. Large ones are checked for changes when they are written.
    return bytes(encoded) if len(encoded) <= _LARGE else encoded


def _refuse_foreign(folder: Path, overwrite: bool) -> None:
    """Refuse to overwrite a checkpoint without permission, or another program's config.json."""
    path = folder / CONFIG
    if not path.is_file():
        return
    if not overwrite:
        raise CheckpointError(
            f"{folder} holds a checkpoint already; choose another folder or pass overwrite=True"
        )
    try:
        document = parse_json(path, read_bytes(path, LARGEST[CONFIG]))
        ours = isinstance(document, dict) and "format_version" in document
    except CheckpointError:
        # A damaged checkpoint still has its other files, and saving again repairs it.
        beside = all((folder / name).is_file() for name in HASHED)
        ours = beside and path.stat().st_size <= LARGEST[CONFIG]
    if not ours:
        raise CheckpointError(
            f"{path} is not a checkpoint of seqzoo and would be overwritten; choose another folder"
        )


def _card(checkpoint: Checkpoint) -> str | None:
    """The card with these metrics, or None if the existing one is hand-written and stays."""
    folder = checkpoint.manifest.folder
    path = folder / CARD
    try:
        existing = path.read_text("utf-8-sig") if path.exists() else None
        if existing is not None and not has_generated_blocks(existing):
            return None
        name = folder.resolve().name
        return card_of(
            checkpoint,
            name=name,
            source=name if name in known_checkpoints() else f"./{name}",
            curve=CURVE if (folder / CURVE).is_file() else None,
            existing=existing,
        )
    # A trained model is saved even if its card cannot be generated: the existing card stays.
    except (OSError, ValueError, CheckpointError) as error:
        logger.warning("%s is left as it is: %s", path, error)
        return None
