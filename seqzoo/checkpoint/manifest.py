"""``config.json`` of a checkpoint: what it is, and the sha256 that every other file is checked by.

Nothing here imports torch, so that checkpoints can be listed and described quickly.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqzoo.checkpoint.recipe_file import LARGEST_RECIPE, parse_recipe
from seqzoo.errors import CheckpointError, DataError, FormatVersionError, IntegrityError, nearest
from seqzoo.storage.atomic import locate, recover, settled
from seqzoo.storage.integrity import (
    check_bytes,
    parse_json,
    read_bytes,
    sha256_of,
    sha256_of_document,
    wrong_sha256,
    wrong_size,
)
from seqzoo.storage.untrusted import (
    BEYOND,
    check_metrics,
    check_plain,
    malformed,
    parse_flat_json,
    shown,
)

if TYPE_CHECKING:
    from seqzoo.data.vocabulary import Vocabulary

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
VOCABULARY = "vocabulary.json"
RECIPE = "recipe.yaml"
METRICS = "metrics.json"
CARD = "README.md"
CURVE = "curve.png"
HASHED = (WEIGHTS, VOCABULARY, RECIPE, METRICS)
"""The files that ``config.json`` records, all of them required."""

_MIB = 1 << 20
LARGEST = {
    CONFIG: 4 * _MIB,
    CARD: 4 * _MIB,
    CURVE: 4 * _MIB,
    RECIPE: LARGEST_RECIPE,
    METRICS: 16 * _MIB,
    VOCABULARY: 256 * _MIB,
}
_LISTS_OF_VOCABULARY = 3
_OBJECTS_OF_METRICS = 100_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
# They end up in commands that people are told to type, so nothing but a name gets through.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]{0,99}")

_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a format version to the next one: a function over the parsed ``config.json``."""


@dataclass(frozen=True)
class Manifest:
    """What ``config.json`` says about a checkpoint.

    Attributes:
        folder: where the checkpoint lies.
        architecture: registered name.
        parts: registered names of ``embedder``, ``backbone`` and ``head``.
        plugin: ``name``, ``distribution`` and ``version`` of the plugin it was made with.
        config: resolved settings of the model, flat.
        files: ``{"sha256", "size"}`` by file name.
        sha256: of the canonical text of ``config.json`` without this key.
        created_with: versions of what wrote it.
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
        """Bytes of the recorded files together."""
        return sum(entry["size"] for entry in self.files.values())


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
        TypeError: a setting has no form in JSON.
        ValueError: a setting is NaN or infinite.
    """
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "architecture": architecture,
        "parts": dict(parts),
        "plugin": dict(plugin),
        "config": dict(config),
        "files": {name: dict(entry) for name, entry in files.items()},
        "created_with": dict(created_with),
    }
    # As it will be read: a number as a key becomes text, a tuple a list.
    document = json.loads(json.dumps(document, allow_nan=False))
    return _pretty(document | {"sha256": sha256_of_document(document)})


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read and check ``config.json``, and see that the files it records are there in full size.

    Raises:
        CheckpointError: the folder or a file is missing, or ``config.json`` is not what seqzoo
            writes.
        IntegrityError: its own sha256 or the size of a file differs.
        FormatVersionError: a newer seqzoo has written it.
    """
    home = Path(folder)
    _require_checkpoint(home)
    recover(home)
    return settled(home, lambda: _read_manifest(home))


def parse_manifest(path: Path) -> Manifest:
    """Read and check a ``config.json`` alone, without a look at the files that it records.

    Raises:
        CheckpointError: it cannot be read, or is not what seqzoo writes.
        IntegrityError: its own sha256 differs.
        FormatVersionError: a newer seqzoo has written it.
    """
    return parse_manifest_bytes(path, read_bytes(path, LARGEST[CONFIG]))


def parse_manifest_bytes(path: Path, content: bytes) -> Manifest:
    """Check the bytes of a ``config.json``; raises as ``parse_manifest`` does."""
    return _checked(path.parent, path, content, parse_json(path, content))


def _read_manifest(folder: Path) -> Manifest:
    manifest = replace(parse_manifest(locate(folder, CONFIG)), folder=folder)
    for name in HASHED:
        sized(manifest, name)
    return manifest


def parse_vocabulary(path: Path, content: bytes) -> "Vocabulary":
    """The items in the bytes of ``vocabulary.json``, in index order.

    Raises:
        CheckpointError: they are not a vocabulary.
    """
    from seqzoo.data.vocabulary import Vocabulary  # numpy, which listing does without

    document = parse_flat_json(path, content, _LISTS_OF_VOCABULARY)
    try:
        return Vocabulary.from_json(document)
    except DataError as error:
        raise CheckpointError(f"{path}: {error}; restore the file") from error


def parse_metrics(path: Path, content: bytes) -> dict[str, dict[str, Any]]:
    """The stored metrics by protocol in the bytes of ``metrics.json``.

    Raises:
        CheckpointError: they are not of that form.
    """
    document: dict[str, dict[str, Any]] = parse_flat_json(path, content, _OBJECTS_OF_METRICS)
    check_metrics(path, document)
    return document


def read_vocabulary(manifest: Manifest) -> "Vocabulary":
    """Read the items of a checkpoint; raises as ``read_verified`` and ``parse_vocabulary`` do."""
    return parse_vocabulary(*read_verified(manifest, VOCABULARY))


def read_recipe(manifest: Manifest) -> dict[str, Any]:
    """Read what reproduces a checkpoint; raises as ``read_verified`` and ``parse_recipe`` do."""
    return parse_recipe(*read_verified(manifest, RECIPE))


def read_metrics(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Read the stored metrics; raises as ``read_verified`` and ``parse_metrics`` do."""
    return parse_metrics(*read_verified(manifest, METRICS))


def read_verified(manifest: Manifest, name: str) -> tuple[Path, bytes]:
    """The path and the bytes of a recorded file; the bytes returned are the ones checked.

    Raises:
        CheckpointError: the file is missing, too long to be one, or cannot be read.
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
    """Check a recorded file against its sha256 without keeping it in memory; its path.

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
        raise CheckpointError(
            f"no folder {folder}{nearest(folder.name, here) or ';'} `seqzoo list` shows the names "
            "that need no folder"
        )
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is a file; a checkpoint is a folder"
            + (f", give {folder.parent}" if folder.name in (*HASHED, CONFIG, CARD) else "")
        )
    if not os.path.lexists(folder / CONFIG) and not (folder / ".commit").is_dir():
        inner = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
        hint = f"did you mean {folder / inner[0]}?" if inner else "`seqzoo train` makes one"
        raise CheckpointError(f"{folder} is not a checkpoint, it holds no {CONFIG}; {hint}")


def sized(manifest: Manifest, name: str) -> Path:
    """Where a recorded file lies, once it is there and as long as recorded."""
    path = locate(manifest.folder, name)
    try:
        found = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if found != manifest.files[name]["size"]:
        raise wrong_size(path, found, manifest.files[name]["size"])
    return path


def _checked(folder: Path, path: Path, content: bytes, document: Any) -> Manifest:
    if not isinstance(document, dict):
        raise malformed(path, "the document", document, "an object")
    version = document.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise CheckpointError(
            f"{path} has format_version {shown(version)}, expected 1 to {FORMAT_VERSION}; this is "
            "not a checkpoint of seqzoo, `seqzoo list` shows those that are"
        )
    if version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has format_version {shown(version)}, this seqzoo reads up to "
            f"{FORMAT_VERSION}: the checkpoint was written by a newer seqzoo; pip install -U seqzoo"
        )
    recorded = document.pop("sha256", None)
    _check_own_sha256(path, content, document, recorded)
    while version < FORMAT_VERSION:
        document = _MIGRATIONS[version](document)
        version += 1
    _check_fields(path, document)
    return Manifest(
        folder=folder,
        architecture=document["architecture"],
        parts=document["parts"],
        plugin=document["plugin"],
        config=document["config"],
        files=document["files"],
        sha256=recorded,
        created_with=document["created_with"],
        content=content,
    )


def _check_own_sha256(path: Path, content: bytes, document: Any, recorded: object) -> None:
    if not isinstance(recorded, str) or not _SHA256.fullmatch(recorded):
        raise malformed(path, "'sha256'", recorded, "64 hex digits")
    try:
        found = sha256_of_document(document)
        # Damage that leaves the values alone, 1e-05 made 1E-05 say, is damage all the same.
        as_written = _pretty(document | {"sha256": recorded}) == content
    except ValueError as error:
        raise malformed(path, "the document", str(error), "plain JSON") from error
    if found != recorded:
        raise wrong_sha256(path, found, recorded)
    if not as_written:
        raise IntegrityError(
            f"{path} is not laid out as seqzoo writes it; fetch the checkpoint again or restore "
            "the file"
        )


def _check_fields(path: Path, document: dict[str, Any]) -> None:
    texts = {"parts": ("embedder", "backbone", "head"), "created_with": None}
    texts["plugin"] = ("name", "distribution", "version")
    expected = {"format_version", "architecture", "config", "files", *texts}
    for key in sorted(set(document) ^ expected):
        what = "lacks" if key in expected else "has an unknown key"
        hint = "" if key in expected else nearest(key[:100], expected)
        raise CheckpointError(f"{path} {what} {shown(key)}{hint}; fetch the checkpoint again")
    architecture = document["architecture"]
    if not isinstance(architecture, str) or not _NAME.fullmatch(architecture):
        raise malformed(path, "'architecture'", architecture, "a name")
    for key, names in texts.items():
        value = document[key]
        if (
            not isinstance(value, dict)
            or not all(isinstance(text, str) and _NAME.fullmatch(text) for text in value.values())
            or (names is not None and set(value) != set(names))
        ):
            listing = "" if names is None else f" {', '.join(names)}"
            raise malformed(path, f"'{key}'", value, f"an object of names{listing}")
    if not isinstance(document["config"], dict):
        raise malformed(path, "'config'", document["config"], "an object of settings")
    check_plain(path, "'config'", document["config"])
    files = document["files"]
    if not isinstance(files, dict) or set(files) != set(HASHED):
        found = sorted(files) if isinstance(files, dict) else files
        raise malformed(path, "'files'", found, ", ".join(sorted(HASHED)))
    for name, entry in files.items():
        if (
            not isinstance(entry, dict)
            or set(entry) != {"sha256", "size"}
            or type(entry["size"]) is not int
            or not 0 <= entry["size"] < BEYOND
            or not isinstance(entry["sha256"], str)
            or not _SHA256.fullmatch(entry["sha256"])
        ):
            raise malformed(path, f"the entry of '{name}'", entry, "a size and a sha256")


def _pretty(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()
