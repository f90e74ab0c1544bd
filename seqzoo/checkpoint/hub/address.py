"""Addresses of models on the Hub: ``hf://org/name`` or ``hf://org/name@revision``."""

import re
from dataclasses import dataclass

from seqzoo.errors import UsageError

__all__ = ["COMMIT", "REPOSITORY", "SCHEME", "HubAddress", "parse_address", "repository_address"]

SCHEME = "hf://"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
REPOSITORY = f"{_PART}/{_PART}"
"""A pattern of ``org/name``."""
_REPO = re.compile(REPOSITORY)
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}")
COMMIT = "[0-9a-f]{40}"
"""A pattern of a commit's name."""


@dataclass(frozen=True)
class HubAddress:
    """A repository on the Hub, at a revision.

    Attributes:
        repo: ``org/name``.
        revision: a commit, tag or branch; None for the main branch.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo.partition("/")[2]

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, whose files never change."""
        return self.revision is not None and re.fullmatch(COMMIT, self.revision) is not None

    def at(self, commit: str) -> "HubAddress":
        """The same repository at a commit.

        Raises:
            UsageError: it is not the 40 hex digits of a commit.
        """
        if not isinstance(commit, str) or not re.fullmatch(COMMIT, commit):
            raise UsageError(f"{self}: {commit!r} is not a commit; expected 40 hex digits")
        return HubAddress(self.repo, commit)


def parse_address(text: str) -> HubAddress:
    """Read ``hf://org/name[@revision]``.

    Both parts become paths in the cache, so only plain names are accepted.

    Raises:
        UsageError: the string is not of that form.
    """
    repo, at, revision = text.removeprefix(SCHEME).partition("@")
    if not text.startswith(SCHEME) or not _is_plain(_REPO, repo):
        raise UsageError(
            f"'{text}' is not an address on the Hub; expected hf://org/name or "
            "hf://org/name@revision"
        )
    if at and not _is_plain(_REVISION, revision):
        raise UsageError(
            f"'{text}': {revision!r} is not a revision; expected a commit, a tag or a branch after "
            "'@'"
        )
    return HubAddress(repo, revision or None)


def repository_address(repo: str, revision: str | None = None) -> HubAddress:
    """The address of ``org/name``, with or without ``hf://``, at a revision.

    Raises:
        UsageError: it cannot be the name of a repository or of a revision.
    """
    base = repo if repo.startswith(SCHEME) else SCHEME + repo
    return parse_address(base if revision is None else f"{base}@{revision}")


def _is_plain(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and not any(
        part in text for part in ("..", "--", "//", "/.", "./")
    )
