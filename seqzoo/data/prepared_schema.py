"""The documents of a folder of prepared data: their names, and the schema of each."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from seqzoo.storage.fields import Closed, Count, FileEntry, Id, Positive, Settings, Sha256

__all__ = [
    "FORMAT_VERSION",
    "ITEMS",
    "MANIFEST",
    "OFFSETS",
    "TIMESTAMPS",
    "USERS",
    "VOCABULARY",
    "Feature",
    "Files",
    "Fingerprint",
    "Fingerprints",
    "Manifest",
    "PreparedWith",
    "SummaryRecord",
    "UsersRecord",
    "VocabularyRecord",
]

MANIFEST = "prepared.json"
ITEMS, OFFSETS, TIMESTAMPS = "items.npy", "offsets.npy", "timestamps.npy"
VOCABULARY, USERS = "vocabulary.json", "users.json"
FORMAT_VERSION = 1

Fingerprint = Annotated[
    str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z", description="sha256: and 64 hex digits")
]


class Files(
    Closed,
    rename={
        "items": ITEMS,
        "offsets": OFFSETS,
        "timestamps": TIMESTAMPS,
        "vocabulary": VOCABULARY,
        "users": USERS,
    },
):
    """The files other than ``prepared.json``."""

    items: FileEntry
    offsets: FileEntry
    vocabulary: FileEntry
    users: FileEntry
    timestamps: FileEntry | UnsetType = UNSET


class Feature(FileEntry):
    """A column of the events."""

    name: str
    file: Annotated[str, Meta(pattern=r"\Afeature-[0-9]{1,4}\.npy\Z", description="feature-N.npy")]


class Fingerprints(Closed):
    """Fingerprints of the data."""

    everything: Fingerprint
    sequences: Fingerprint
    times: Fingerprint
    features: Annotated[dict[str, Fingerprint], Meta(description="by column")] | UnsetType = UNSET


class SummaryRecord(Closed):
    """A :class:`seqzoo.data.summary.Summary`."""

    stage: str
    rows: Count
    users: Count
    items: Count
    events_per_user: Annotated[dict[str, float], Meta(description="numbers by name")]
    repeats: float
    first: int | None
    last: int | None


class PreparedWith(Closed):
    """What the data were prepared with."""

    min_count: Positive
    order: str
    source: str
    columns: Annotated[dict[str, str], Meta(description="column names by role")]
    options: Settings


class Manifest(Closed):
    """``prepared.json``."""

    format_version: Positive
    name: str
    settings: PreparedWith
    fingerprints: Fingerprints
    summaries: Annotated[list[SummaryRecord], Meta(min_length=1, description="summaries")]
    files: Files
    sha256: Sha256
    features: list[Feature] | UnsetType = UNSET


class VocabularyRecord(Closed):
    """``vocabulary.json``."""

    items: Annotated[list[Id], Meta(min_length=1, description="a list of ids, at least one")]
    labels: list[str | None] | None = None
    features: dict[str, list[str] | None] | UnsetType = UNSET


class UsersRecord(Closed):
    """``users.json``."""

    users: Annotated[list[Id], Meta(min_length=1, description="a list of ids, at least one")]
