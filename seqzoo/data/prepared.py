"""Prepared data: a folder with sequences as arrays that are mapped into memory, not read.

``prepared.json`` names the other files with their size and sha256, the settings that the data were
prepared with, their fingerprints, and summaries before and after the filter. The format is
described in ``docs/how-to/data.md``.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from seqzoo.data.fingerprints import Fingerprints, feature_key
from seqzoo.data.prepared_schema import (
    FORMAT_VERSION,
    ITEMS,
    MANIFEST,
    OFFSETS,
    TIMESTAMPS,
    USERS,
    VOCABULARY,
    Feature,
    Manifest,
    UsersRecord,
    VocabularyRecord,
)
from seqzoo.data.sequences import SequenceData, Sequences, load_array
from seqzoo.data.summary import Summary
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError, DataError, IntegrityError, nearest, one_line
from seqzoo.storage.atomic import COMMIT, Content, locate, settled, write_files
from seqzoo.storage.documents import check, parse_json, plain
from seqzoo.storage.fields import FileEntry
from seqzoo.storage.integrity import read_bytes, sha256_of, sha256_of_document

if TYPE_CHECKING:
    from seqzoo.data.prepare import DataConfig

__all__ = [
    "PreparedFolder",
    "check_destination",
    "is_prepared",
    "write_prepared",
]

ReadT = TypeVar("ReadT")
RecordT = TypeVar("RecordT")

_LARGEST_MANIFEST = 1 << 20
_REMEDY = "run `seqzoo data prepare` again"


@dataclass(frozen=True)
class PreparedFolder:
    """A folder of prepared data whose manifest has been checked.

    Attributes:
        path: the folder.
        manifest: the checked content of ``prepared.json``.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path) -> "PreparedFolder":
        """Read and check the manifest.

        Raises:
            DataError: it is damaged or of a newer format.
        """
        path = Path(path).expanduser()
        return cls(path, _as_data_error(path, partial(_read_manifest, path)))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of :class:`DataConfig` that cannot be changed any more."""
        fixed: dict[str, Any] = {
            "min_count": self.manifest.settings.min_count,
            "order": self.manifest.settings.order,
        }
        if self._features:
            fixed["features"] = [feature.name for feature in self._features]
        return fixed

    @property
    def _features(self) -> list[Feature]:
        found = self.manifest.features
        return [] if isinstance(found, UnsetType) else found

    @property
    def files(self) -> dict[str, int]:
        """The size in bytes of each file but the manifest."""
        entries = msgspec.to_builtins(self.manifest.files)
        sizes = {name: entry["size"] for name, entry in entries.items()}
        return sizes | {feature.file: feature.size for feature in self._features}

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """The interactions as read and after each filter."""
        return tuple(Summary(**msgspec.structs.asdict(each)) for each in self.manifest.summaries)

    def load(self, **requested: Any) -> SequenceData:
        """Check all files against their sha256 and map the arrays into memory.

        Args:
            requested: ``min_count``, ``order`` and ``features`` as they are needed.

        Raises:
            DataError: the data were prepared with other settings, or a file is damaged.
        """
        known = self.settings.get("features", [])
        if lacking := [name for name in requested.pop("features", None) or [] if name not in known]:
            source = self.manifest.settings.source
            raise DataError(
                f"{self.path} was prepared without the feature '{lacking[0]}'"
                f"{nearest(lacking[0], known) or ';'} prepare {source} again with "
                f"'data.features=[{', '.join([*known, *lacking])}]'"
            )
        if differing := [key for key, value in requested.items() if value != self.settings[key]]:
            has = " and ".join(f"{key}={self.settings[key]}" for key in differing)
            needs = " and ".join(f"{key}={requested[key]}" for key in differing)
            options = " ".join(f"--{key.replace('_', '-')} {requested[key]}" for key in differing)
            raise DataError(
                f"{self.path} was prepared with {has}, and {needs} is needed: prepare "
                f"{self.manifest.settings.source} again with {options}, or use {has}"
            )
        return _as_data_error(self.path, self._load)

    def _load(self) -> SequenceData:
        files = self.manifest.files
        items = _mapped(self._verified(ITEMS, files.items))
        offsets = _mapped(self._verified(OFFSETS, files.offsets))
        timestamps = None
        if files.timestamps is not UNSET:
            timestamps = _mapped(self._verified(TIMESTAMPS, files.timestamps))
        vocabulary = self._record(VOCABULARY, files.vocabulary, VocabularyRecord)
        users = self._record(USERS, files.users, UsersRecord)
        values = {} if isinstance(vocabulary.features, UnsetType) else vocabulary.features
        features = {each.name: _mapped(self._verified(each.file, each)) for each in self._features}
        sequences = Sequences(items, timestamps, offsets, features)
        known = Vocabulary(vocabulary.items, vocabulary.labels, features=values)
        found = int(items.max(initial=0))
        if values.keys() != features.keys() or any(
            int(codes.max(initial=0)) > len(values[name] or [])
            for name, codes in features.items()
            if codes.dtype != np.float32
        ):
            raise DataError(f"{self.path}: the features do not fit their values; {_REMEDY}")
        if len(users.users) != len(sequences) or found > len(known):
            raise DataError(
                f"{self.path}: {len(sequences)} sequences with items up to {found} do not fit "
                f"{len(users.users)} users and {len(known)} items; {_REMEDY}"
            )
        prints = self.manifest.fingerprints
        of_features = {} if isinstance(prints.features, UnsetType) else prints.features
        return SequenceData(
            sequences=sequences,
            vocabulary=known,
            users=tuple(users.users),
            name=self.manifest.name,
            fingerprint=prints.everything,
            fingerprints=Fingerprints(
                prints.everything, prints.sequences, prints.times, of_features
            ).parts,
            summaries=self.summaries,
        )

    def _record(self, name: str, entry: FileEntry, schema: type[RecordT]) -> RecordT:
        """The content of a JSON file."""
        path = self._verified(name, entry)
        document = parse_json(path, read_bytes(path, entry.size), remedy=_REMEDY)
        return check(path, document, schema, _REMEDY)

    def _verified(self, name: str, entry: FileEntry) -> Path:
        path = locate(self.path, name)
        size = path.stat().st_size
        if size != entry.size:
            raise IntegrityError(f"{path} has {size} bytes, expected {entry.size}; {_REMEDY}")
        if (found := sha256_of(path)) != entry.sha256:
            raise IntegrityError(f"{path} has sha256 {found}, expected {entry.sha256}; {_REMEDY}")
        return path


def _fingerprints(data: SequenceData) -> dict[str, Any]:
    """The fingerprints as the manifest has them."""
    parts = data.fingerprints
    of_features = {
        name: parts[feature_key(name)]
        for name in data.sequences.features
        if feature_key(name) in parts
    }
    return {
        "everything": data.fingerprint,
        "sequences": parts["sequences"],
        "times": parts["times"],
        **({"features": of_features} if of_features else {}),
    }


def is_prepared(source: object) -> bool:
    """Whether a source of data is a folder that ``seqzoo data prepare`` has written."""
    if not isinstance(source, str | Path):
        return False
    folder = Path(source).expanduser()
    return any(os.path.isfile(place / MANIFEST) for place in (folder, folder / COMMIT))


def write_prepared(
    folder: str | Path, data: SequenceData, config: "DataConfig", *, overwrite: bool = False
) -> PreparedFolder:
    """Write prepared data atomically: after a crash the folder has all files or none.

    Args:
        folder: a new or an empty folder.
        data: the sequences.
        config: the data section of a recipe that the data were prepared with.
        overwrite: replace the prepared data in the folder.

    Raises:
        DataError: the folder holds something else or cannot be written, or an id is not text that
            can be stored.
    """
    folder = Path(folder).expanduser()
    check_destination(folder, overwrite=overwrite)
    columns = {
        f"feature-{number}.npy": name for number, name in enumerate(data.sequences.features, 1)
    }
    contents = _contents(folder, data, columns)
    about = {
        "format_version": FORMAT_VERSION,
        "name": data.name,
        "settings": {
            "min_count": config.min_count,
            "order": config.order,
            "source": config.source,
            "columns": config.columns,
            "options": config.options,
        },
        "fingerprints": _fingerprints(data),
        "summaries": [summary.to_json() for summary in data.summaries],
    }
    contents[MANIFEST] = partial(
        _write_manifest, about=about, files=tuple(contents), columns=columns
    )
    try:
        write_files(folder, contents)
        # Files of the data that were here before.
        for path in [folder / TIMESTAMPS, *folder.glob("feature-[0-9]*.npy")]:
            if path.name not in contents:
                path.unlink(missing_ok=True)
    except (CheckpointError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or one_line(error)
        raise DataError(
            f"{folder}: the prepared data cannot be written: {reason}; free some space or choose "
            "another folder (earlier files are kept)"
        ) from error
    return PreparedFolder.open(folder)


def _contents(folder: Path, data: SequenceData, columns: Mapping[str, str]) -> dict[str, Content]:
    """The files but the manifest; ``columns`` are the names of the features by file."""
    labels = data.vocabulary.labels
    vocabulary: dict[str, Any] = {"items": data.vocabulary.items}
    if labels is not None:
        vocabulary["labels"] = labels
    if data.vocabulary.features:
        vocabulary["features"] = data.vocabulary.features
    sequences = data.sequences
    arrays: dict[str, npt.NDArray[Any]] = {ITEMS: sequences.items, OFFSETS: sequences.offsets}
    if sequences.timestamps is not None:
        arrays[TIMESTAMPS] = sequences.timestamps
    arrays |= {file: sequences.features[name] for file, name in columns.items()}
    return {
        **{name: partial(np.save, arr=array, allow_pickle=False) for name, array in arrays.items()},
        VOCABULARY: _rendered(folder / VOCABULARY, vocabulary, VocabularyRecord),
        USERS: _rendered(folder / USERS, {"users": data.users}, UsersRecord),
    }


def _write_manifest(
    path: Path, about: dict[str, Any], files: Sequence[str], columns: Mapping[str, str]
) -> None:
    """Write the manifest of files that have been written next to it."""
    entries = {
        name: {
            "sha256": sha256_of(path.parent / name),
            "size": os.path.getsize(path.parent / name),
        }
        for name in files
    }
    features = [{"name": name, "file": file, **entries.pop(file)} for file, name in columns.items()]
    named = {"features": features} if features else {}
    whole = plain("the manifest", {**about, **named, "files": entries})
    whole["sha256"] = sha256_of_document(whole)
    check(path, whole, Manifest, _REMEDY)
    path.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


def check_destination(folder: Path, *, overwrite: bool) -> None:
    """Check, before any data are read, that prepared data may be written to a folder.

    Raises:
        DataError: it is a file, holds other files, or holds prepared data and ``overwrite`` is
            False.
    """
    folder = folder.expanduser()
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give a new folder as --out")
    if is_prepared(folder):
        if not overwrite:
            raise DataError(
                f"{folder} holds prepared data already; give another --out, or replace them with "
                "--overwrite"
            )
    elif others := sorted(name for name in os.listdir(folder) if not name.startswith(".")):
        raise DataError(
            f"{folder} holds other files, such as {others[0]}; give a new folder as --out"
        )


def _read_manifest(folder: Path) -> Manifest:
    path = locate(folder, MANIFEST)
    document = parse_json(path, read_bytes(path, _LARGEST_MANIFEST), remedy=_REMEDY)
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise DataError(
            f"{path} has format version {version}, newer than the {FORMAT_VERSION} that this "
            "version of seqzoo reads; upgrade seqzoo or prepare the data again"
        )
    manifest = check(path, document, Manifest, _REMEDY)
    del document["sha256"]
    if sha256_of_document(document) != manifest.sha256:
        raise IntegrityError(f"{path} does not have the sha256 that it records; {_REMEDY}")
    return manifest


def _as_data_error(folder: Path, read: Callable[[], ReadT]) -> ReadT:
    """The result of ``read``, tried again while another process replaces the folder's files."""
    try:
        return settled(folder, read)
    except CheckpointError as error:
        raise DataError(str(error)) from error


def _rendered(path: Path, document: dict[str, Any], schema: type) -> bytes:
    """The content of a JSON file, checked as it is when it is read."""
    try:
        check(path, document, schema, "change it in the data, and prepare them again")
    except CheckpointError as error:
        raise DataError(str(error)) from error
    return msgspec.json.encode(document)


def _mapped(path: Path) -> npt.NDArray[Any]:
    # As a plain array: each slice of a numpy.memmap costs several microseconds more.
    return load_array(path, mmap=True).view(np.ndarray)
