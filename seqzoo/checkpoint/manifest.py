"""``config.json`` of a checkpoint: its architecture and settings, and the sha256 of its files.

Nothing here imports torch, so that checkpoints can be listed and described quickly.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqzoo.checkpoint.recipe_file import LARGEST_RECIPE, parse_recipe
from seqzoo.checkpoint.schemas import ConfigFile, ConfigHead, MetricsFile, VocabularyFile
from seqzoo.errors import CheckpointError, DataError, FormatVersionError, IntegrityError, nearest
from seqzoo.storage.atomic import COMMIT, locate, recover, settled
from seqzoo.storage.documents import check, parse_json, plain, read_json
from seqzoo.storage.integrity import (
    check_bytes,
    read_bytes,
    sha256_of,
    sha256_of_document,
    wrong_sha256,
    wrong_size,
)
from seqzoo.storage.messages import RESTORE

if TYPE_CHECKING:
    from seqzoo.data.vocabulary import Vocabulary

__all__ = [
    "CARD",
    "CONFIG",
    "CURVE",
    "FEATURES",
    "FORMAT_VERSION",
    "HASHED",
    "LARGEST",
    "METRICS",
    "OPTIONAL",
    "RECIPE",
    "RECORDED",
    "VOCABULARY",
    "WEIGHTS",
    "Manifest",
    "parse_manifest",
    "parse_manifest_bytes",
    "parse_metrics",
    "parse_vocabulary",
    "read_manifest",
    "read_metrics",
    "read_recipe",
    "read_verified",
    "read_vocabulary",
    "render_manifest",
    "sized",
    "verify_file",
]

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
VOCABULARY = "vocabulary.json"
RECIPE = "recipe.yaml"
METRICS = "metrics.json"
FEATURES = "item_features.safetensors"
CARD = "README.md"
CURVE = "curve.png"
HASHED = (WEIGHTS, VOCABULARY, RECIPE, METRICS)
"""The files that ``config.json`` always records."""
OPTIONAL = (FEATURES,)
"""The files that it records where the model needs them."""
RECORDED = (*HASHED, *OPTIONAL)

_MIB = 1 << 20
_MOST_FEATURES = 100
LARGEST = {
    CONFIG: 4 * _MIB,
    CARD: 4 * _MIB,
    CURVE: 4 * _MIB,
    RECIPE: LARGEST_RECIPE,
    METRICS: 16 * _MIB,
    FEATURES: 1024 * _MIB,
    VOCABULARY: 256 * _MIB,
}

_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By format version: a function that brings a parsed ``config.json`` to the next version."""


@dataclass(frozen=True)
class Manifest:
    """The content of ``config.json``.

    Attributes:
        folder: the folder of the checkpoint.
        architecture: registered name.
        parts: registered names of ``embedder``, ``backbone`` and ``head``.
        plugin: ``name``, ``distribution`` and ``version`` of the architecture's plugin.
        config: resolved settings of the model, flat.
        files: ``{"sha256", "size"}`` by file name.
        sha256: of the canonical text of ``config.json`` without this key.
        created_with: versions of the programs that wrote it.
        content: bytes of ``config.json`` itself.
    """

    folder: Path
    architecture: str
    parts: dict[str, str]
    plugin: dict[str, str]
    config: dict[str, Any]
    files: dict[str, dict[str, Any]]
    sha256: str
    created_with: dict[str, str]
    content: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Total size of the recorded files in bytes."""
        return sum(entry["size"] for entry in self.files.values())

    @property
    def names(self) -> list[str]:
        """The names of the recorded files."""
        return [name for name in RECORDED if name in self.files]


def render_manifest(
    *,
    architecture: str,
    parts: Mapping[str, str],
    plugin: Mapping[str, str],
    config: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    created_with: Mapping[str, str],
) -> bytes:
    """The content of ``config.json``.

    Raises:
        CheckpointError: a setting is not a plain value.
    """
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "architecture": architecture,
        "parts": dict(parts),
        "plugin": dict(plugin),
        "config": plain("the model's settings", dict(config)),
        "files": {name: dict(entry) for name, entry in files.items()},
        "created_with": dict(created_with),
    }
    document["sha256"] = sha256_of_document(document)
    check(CONFIG, document, ConfigFile, "change the model's settings")
    return _pretty(document)


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read and check ``config.json``, and the presence and size of the files that it records.

    Raises:
        CheckpointError: the folder or a file is missing, or ``config.json`` is malformed.
        IntegrityError: its own sha256 or the size of a file differs.
        FormatVersionError: a newer seqzoo has written it.
    """
    home = Path(folder)
    _require_checkpoint(home)
    recover(home)
    return settled(home, lambda: _read_manifest(home))


def parse_manifest(path: Path) -> Manifest:
    """Read and check a ``config.json`` alone, without the files that it records.

    Raises:
        CheckpointError: it cannot be read or is malformed.
        IntegrityError: its own sha256 differs.
        FormatVersionError: a newer seqzoo has written it.
    """
    return parse_manifest_bytes(path, read_bytes(path, LARGEST[CONFIG]))


def parse_manifest_bytes(path: Path, content: bytes) -> Manifest:
    """Check the bytes of a ``config.json``; raises as ``parse_manifest`` does."""
    document = parse_json(path, content)
    remedy = "`seqzoo list` shows the checkpoints of seqzoo; restore the file if it is one of them"
    head = check(path, document, ConfigHead, remedy)
    if head.format_version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has format_version {head.format_version}, this seqzoo reads up to "
            f"{FORMAT_VERSION}: the checkpoint was written by a newer seqzoo; pip install -U seqzoo"
        )
    del document["sha256"]
    if (found := sha256_of_document(document)) != head.sha256:
        raise wrong_sha256(path, found, head.sha256)
    # Damage that does not change the values, such as 1E-05 for 1e-05, is still damage.
    if _pretty(document | {"sha256": head.sha256}) != content:
        raise IntegrityError(f"{path} is not formatted as seqzoo writes it; {RESTORE}")
    for version in range(head.format_version, FORMAT_VERSION):
        document = _MIGRATIONS[version](document)
    check(path, document | {"sha256": head.sha256}, ConfigFile)
    del document["format_version"]
    return Manifest(folder=path.parent, sha256=head.sha256, content=content, **document)


def _read_manifest(folder: Path) -> Manifest:
    manifest = replace(parse_manifest(locate(folder, CONFIG)), folder=folder)
    for name in manifest.names:
        sized(manifest, name)
    return manifest


def parse_vocabulary(path: Path, content: bytes) -> "Vocabulary":
    """The items in the bytes of ``vocabulary.json``, in index order.

    Raises:
        CheckpointError: they are malformed.
    """
    from seqzoo.data.vocabulary import Vocabulary  # numpy, which listing does without

    # The object itself, its items, their labels and their counts, and the values of features.
    document = read_json(path, content, VocabularyFile, most=5 + _MOST_FEATURES)
    try:
        return Vocabulary(
            document["items"],
            document.get("labels"),
            document.get("counts"),
            document.get("features"),
        )
    except DataError as error:
        raise CheckpointError(f"{path}: {error}; {RESTORE}") from error


def parse_metrics(path: Path, content: bytes) -> dict[str, dict[str, Any]]:
    """The stored metrics by protocol in the bytes of ``metrics.json``.

    Raises:
        CheckpointError: they are malformed.
    """
    document: dict[str, dict[str, Any]] = read_json(path, content, MetricsFile)
    return document


def read_vocabulary(manifest: Manifest) -> "Vocabulary":
    """Read the items of a checkpoint; raises as ``read_verified`` and ``parse_vocabulary`` do."""
    return parse_vocabulary(*read_verified(manifest, VOCABULARY))


def read_recipe(manifest: Manifest) -> dict[str, Any]:
    """Read the recipe of a checkpoint; raises as ``read_verified`` and ``parse_recipe`` do."""
    return parse_recipe(*read_verified(manifest, RECIPE))


def read_metrics(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Read the stored metrics; raises as ``read_verified`` and ``parse_metrics`` do."""
    return parse_metrics(*read_verified(manifest, METRICS))


def read_verified(manifest: Manifest, name: str) -> tuple[Path, bytes]:
    """The path and the checked bytes of a recorded file.

    Raises:
        CheckpointError: the file is missing, is too long, or cannot be read.
        IntegrityError: its size or sha256 differs from what was recorded.
    """
    path = sized(manifest, name)
    size = manifest.files[name]["size"]
    if size > LARGEST.get(name, size):
        raise CheckpointError(
            f"{path} has {size} bytes, expected at most {LARGEST[name]}; fetch the checkpoint "
            "again from a source you trust"
        )
    content = read_bytes(path, size)
    check_bytes(path, content, size, manifest.files[name]["sha256"])
    return path, content


def verify_file(manifest: Manifest, name: str) -> Path:
    """Check a recorded file against its sha256 without keeping it in memory; returns its path.

    Raises:
        CheckpointError: the file is missing or cannot be read.
        IntegrityError: it differs from what was recorded.
    """
    path = sized(manifest, name)
    found, expected = sha256_of(path), manifest.files[name]["sha256"]
    if found != expected:
        raise wrong_sha256(path, found, expected)
    return path


def _require_checkpoint(folder: Path) -> None:
    if not folder.exists():
        here = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        # A path drops the `./` by which commands tell a folder from a name.
        shown = folder if len(folder.parts) > 1 else f"./{folder}"
        raise CheckpointError(
            f"there is no folder {shown}{nearest(folder.name, here) or ';'} `seqzoo list` shows "
            "the checkpoints with registered names"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is a file; a checkpoint is a folder"
            + (f", give {folder.parent}" if folder.name in (*RECORDED, CONFIG, CARD) else "")
        )
    if not os.path.lexists(folder / CONFIG) and not (folder / COMMIT).is_dir():
        inner = sorted(path.parent.name for path in folder.glob(f"[!.]*/{CONFIG}"))
        hint = f"did you mean {folder / inner[0]}?" if inner else "`seqzoo train` makes one"
        raise CheckpointError(f"{folder} is not a checkpoint: it holds no {CONFIG}; {hint}")


def sized(manifest: Manifest, name: str) -> Path:
    """The path of a recorded file, which has the recorded size; raises as ``read_verified``."""
    path = locate(manifest.folder, name)
    try:
        found = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if found != manifest.files[name]["size"]:
        raise wrong_size(path, found, manifest.files[name]["size"])
    return path


def _pretty(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()
