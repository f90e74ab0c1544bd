"""``audit``: everything about a checkpoint that can be checked without data."""

from dataclasses import dataclass
from pathlib import Path

from seqzoo.checkpoint.checkpoint import load_checkpoint
from seqzoo.checkpoint.manifest import (
    CONFIG,
    HASHED,
    WEIGHTS,
    Manifest,
    read_manifest,
    read_metrics,
    read_recipe,
    read_vocabulary,
    verify_file,
)
from seqzoo.errors import CheckpointError


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


def audit(folder: Path) -> list[Check]:
    """Check ``config.json``, every recorded file, the weights against the model, and the figures.

    Raises:
        CheckpointError: the folder is no checkpoint at all.
    """
    manifest = read_manifest(folder)
    checks = [Check(CONFIG, True, f"sha256 {manifest.sha256}")]
    checks += [_file(manifest, name) for name in HASHED]
    if all(check.ok for check in checks):
        checks += [_model(folder), _figures(manifest), _recipe(manifest)]
    return checks


def _file(manifest: Manifest, name: str) -> Check:
    try:
        verify_file(manifest, name)
    except CheckpointError as error:
        return Check(name, False, str(error))
    return Check(name, True, f"sha256 {manifest.files[name]['sha256']}")


def _model(folder: Path) -> Check:
    try:
        model = load_checkpoint(folder)
    except CheckpointError as error:
        return Check("model", False, str(error))
    return Check(
        "model",
        True,
        f"{model.architecture}: {model.num_parameters:,} parameters and "
        f"{len(model.vocabulary):,} items fit {WEIGHTS} exactly",
    )


def _figures(manifest: Manifest) -> Check:
    try:
        stored = read_metrics(manifest)
    except CheckpointError as error:
        return Check("figures", False, str(error))
    if not stored:
        return Check("figures", False, "none are stored; `seqzoo train` stores them")
    return Check("figures", True, f"stored under {', '.join(sorted(stored))}")


def _recipe(manifest: Manifest) -> Check:
    try:
        recipe = read_recipe(manifest)
        items = len(read_vocabulary(manifest))
    except CheckpointError as error:
        return Check("recipe", False, str(error))
    source = recipe.get("data", {}).get("source") if isinstance(recipe.get("data"), dict) else None
    if not source:
        return Check("recipe", False, "it does not say what data the model was trained on")
    return Check("recipe", True, f"trained on {source}, {items:,} items")
