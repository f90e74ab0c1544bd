"""Schemas of the Hub's responses, as far as seqzoo reads them."""

from typing import Annotated

from msgspec import Meta, Struct

from seqzoo.checkpoint.schemas import Commit
from seqzoo.storage.fields import Count, Sha256, Text

__all__ = [
    "HubEntry",
    "HubLfs",
    "HubListedModel",
    "HubModelInfo",
    "HubReference",
    "HubReferences",
]


class HubModelInfo(Struct, rename="camel"):
    """The Hub's description of a repository."""

    sha: Commit
    private: bool = False


class HubListedModel(Struct, rename="camel"):
    """A repository in a listing of the Hub."""

    id: Annotated[str, Meta(pattern=r"\A[^/\s]{1,96}/[^/\s]{1,96}\Z", description="org/name")]
    sha: Commit | None = None
    tags: list[Text] = []
    downloads: Count | None = 0
    likes: Count | None = 0
    private: bool = False
    last_modified: Text | None = None


class HubLfs(Struct):
    """The large file behind an entry."""

    oid: Sha256


class HubEntry(Struct):
    """The Hub's entry of a file or a folder in a repository."""

    path: Text
    oid: Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}\Z", description="40 hex digits")]
    type: Text = "file"
    size: Count = 0
    lfs: HubLfs | None = None


class HubReference(Struct, rename="camel"):
    """A branch or a tag."""

    name: Text
    target_commit: Commit


class HubReferences(Struct):
    """The branches and tags of a repository."""

    branches: list[HubReference] = []
    tags: list[HubReference] = []
