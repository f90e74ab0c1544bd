"""Build the model of a checkpoint, strictly and without executing anything in it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from seqzoo.checkpoint.folder import plugin_of
from seqzoo.checkpoint.manifest import CONFIG, VOCABULARY, WEIGHTS, Manifest
from seqzoo.checkpoint.record import Checkpoint
from seqzoo.errors import CheckpointError, SeqzooError, UsageError, nearest, one_line
from seqzoo.model.build import TooLargeError, sized_by
from seqzoo.model.provenance import Provenance
from seqzoo.model.weights import put_weights
from seqzoo.plugins import PluginRecord, catalogue, plugins
from seqzoo.version import __version__

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["ModelT", "load_model"]

ModelT = TypeVar("ModelT", bound="SequenceModel")


def load_model(
    kind: type[ModelT], checkpoint: Checkpoint, device: str | torch.device = "cpu"
) -> ModelT:
    """Build the model of a checkpoint, in evaluation mode; torch's random state does not change.

    Args:
        kind: class of the model.
        checkpoint: read from its folder. The model takes over its large tensors.
        device: device of the weights.

    Raises:
        CheckpointError: the plugin of the architecture is missing or differs from the one that
            saved the checkpoint, or the files do not belong together.
        UsageError: there is no such device.
    """
    saved = checkpoint.manifest
    _require_architecture(saved)
    manifest, weights = _migrated(saved, checkpoint.tensors)
    model = _build(kind, replace(checkpoint, manifest=manifest, tensors=weights))
    _require_table(manifest, model, weights)
    if model.parts != manifest.parts:
        raise CheckpointError(
            f"{manifest.folder / CONFIG} says {_named(manifest.parts)}, but "
            f"'{manifest.architecture}' is {_named(model.parts)} here; {_reinstall(manifest)}"
        )
    put_weights(model, weights, str(manifest.folder / WEIGHTS), take=True)
    model.recipe, model.metrics = dict(checkpoint.recipe), dict(checkpoint.metrics)
    unchanged = manifest is saved
    model.provenance = Provenance.of(model, saved.files[WEIGHTS]["sha256"] if unchanged else None)
    try:
        return model.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"the model cannot be moved to device '{device}': {reason}; `seqzoo doctor` shows the "
            "devices that work"
        ) from error


def _build(kind: type[ModelT], checkpoint: Checkpoint) -> ModelT:
    manifest = checkpoint.manifest
    path = manifest.folder / CONFIG
    try:
        with (
            torch.random.fork_rng(devices=[]),
            sized_by(checkpoint.tensors, checkpoint.item_features),
        ):
            return kind.build(
                manifest.architecture,
                manifest.config,
                checkpoint.vocabulary,
                checkpoint.item_features,
            )
    except TooLargeError:
        raise CheckpointError(
            f"{path} has settings for a model far larger than {WEIGHTS} holds; the files do not "
            "belong together, fetch the checkpoint again"
        ) from None
    # A part is third-party code: report any exception as a checkpoint that cannot be loaded.
    except Exception as error:
        text = str(error) if isinstance(error, SeqzooError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{path}: '{manifest.architecture}' cannot be built from its settings: "
            f"{one_line(text).rstrip('.')}; {_reinstall(manifest)}"
        ) from error


def _migrated(
    manifest: Manifest, weights: Mapping[str, Tensor]
) -> tuple[Manifest, dict[str, Tensor]]:
    """Settings and weights, migrated if another version of the plugin saved them."""
    spec = catalogue().architectures.get(manifest.architecture)
    here = plugin_of(manifest.architecture)["version"]
    saved = manifest.plugin["version"]
    if spec.migration is None or saved == here:
        return manifest, dict(weights)
    try:
        config, migrated = spec.load_migration()(dict(manifest.config), dict(weights), saved)
    # The migration is third-party code: report any exception as a checkpoint that cannot be loaded.
    except Exception as error:
        raise CheckpointError(
            f"{manifest.folder / CONFIG} was saved with {manifest.plugin['distribution']} {saved} "
            f"and cannot be brought up to {here}: {type(error).__name__}: "
            f"{one_line(error, 200)}; {_reinstall(manifest)}"
        ) from error
    return replace(manifest, config=dict(config)), dict(migrated)


def _require_architecture(manifest: Manifest) -> None:
    """Check that the plugin of the architecture is installed, or say how to install it."""
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
        f"its version here, {record.version}, does not provide{hint or ';'} {_reinstall(manifest)}"
    )


def _require_table(
    manifest: Manifest, model: "SequenceModel", weights: Mapping[str, Tensor]
) -> None:
    """The item table and the vocabulary must agree; otherwise all recommended ids are wrong."""
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


def _reinstall(manifest: Manifest) -> str:
    """The remedy if the installed plugin differs from the one that saved the checkpoint."""
    plugin = manifest.plugin
    return (
        f"it was saved with {plugin['distribution']} {plugin['version']}, "
        f"pip install '{plugin['distribution']}=={plugin['version']}'"
    )


def _named(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} '{name}'" for kind, name in sorted(parts.items()))
