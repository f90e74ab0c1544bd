"""Types of fields that the schemas of documents share.

Error messages quote the description of a type as the expected value.
"""

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

__all__ = ["Closed", "Count", "FileEntry", "Id", "Number", "Positive", "Settings", "Sha256", "Text"]

Text: TypeAlias = Annotated[str, Meta(description="a string")]
Id: TypeAlias = Annotated[str, Meta(min_length=1, description="a non-empty string")]
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hex digits")]
Count: TypeAlias = Annotated[int, Meta(ge=0, description="a whole number, 0 or more")]
Positive: TypeAlias = Annotated[int, Meta(ge=1, description="a whole number, 1 or more")]
Number: TypeAlias = Annotated[float, Meta(description="a number")]
Settings: TypeAlias = Annotated[dict[str, Any], Meta(description="settings by name")]


class Closed(Struct, forbid_unknown_fields=True):
    """A document that only seqzoo writes."""


class FileEntry(Closed):
    """What a document records of a file: its sha256 and its size in bytes."""

    sha256: Sha256
    size: Count
