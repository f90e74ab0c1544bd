"""The documents of a folder of prepared data: their names, and the schema of each."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

MANIFEST = "prepared.json"
ITEMS, OFFSETS, TIMESTAMPS = "items.npy", "offsets.npy", "timestamps.npy"
VOCABULARY, USERS = "vocabulary.json", "users.json"
FORMAT_VERSION = 1

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hex digits")]
Fingerprint = Annotated[
    str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z", description="sha256: and 64 hex digits")
]
Count = Annotated[int, Meta(ge=0, description="a whole number, 0 or more")]
Id = Annotated[str, Meta(min_length=1, description="a non-empty string")]


class Closed(Struct, forbid_unknown_fields=True):
    """A document that only seqzoo writes."""


class File(Closed):
    """What is known of a file."""

    sha256: Sha256
    size: Count


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

    items: File
    offsets: File
    vocabulary: File
    users: File
    timestamps: File | UnsetType = UNSET


class Feature(Closed):
    """A column of the events."""

    name: str
    file: Annotated[str, Meta(pattern=r"\Afeature-[0-9]{1,4}\.npy\Z", description="feature-N.npy")]
    sha256: Sha256
    size: Count


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


class Settings(Closed):
    """What the data were prepared with."""

    min_count: Annotated[int, Meta(ge=1, description="a whole number, 1 or more")]
    order: str
    source: str
    columns: Annotated[dict[str, str], Meta(description="column names by role")]
    options: Annotated[dict[str, Any], Meta(description="settings by name")]


class Manifest(Closed):
    """``prepared.json``."""

    format_version: Annotated[int, Meta(ge=1, description="a whole number, 1 or more")]
    name: str
    settings: Settings
    fingerprints: Fingerprints
    summaries: Annotated[list[SummaryRecord], Meta(min_length=1, description="summaries")]
    files: Files
    sha256: Sha256
    features: list[Feature] | UnsetType = UNSET


class VocabularyRecord(Closed):
    """``vocabulary.json``."""

    items: Annotated[list[Id], Meta(min_length=1)]
    labels: list[str | None] | None = None
    features: dict[str, list[str] | None] | UnsetType = UNSET


class UsersRecord(Closed):
    """``users.json``."""

    users: Annotated[list[Id], Meta(min_length=1)]
