"""Checksums of downloaded files: the published ones, or that of the first download."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from seqzoo.errors import DownloadError

__all__ = ["Sums", "difference", "measure", "record_of", "remember", "remembered"]

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Sums:
    """The size and the checksums of a file; None where unknown.

    Attributes:
        size: in bytes.
        md5: in hexadecimal.
        sha256: in hexadecimal.
    """

    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    @property
    def published(self) -> bool:
        """Whether there is a published checksum; if not, that of the first download counts."""
        return self.md5 is not None or self.sha256 is not None


def measure(path: Path) -> Sums:
    """The size and the checksums of a file, read once."""
    # Publishers give md5; only the sha256 is safe against files that were made to match.
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return Sums(size, md5.hexdigest(), sha256.hexdigest())


def difference(expected: Sums, found: Sums) -> str | None:
    """How a file differs from what is expected, as text, or None if it does not."""
    for kind in ("sha256", "md5", "size"):
        wanted, got = getattr(expected, kind), getattr(found, kind)
        if wanted is not None and str(wanted).lower() != str(got):
            return f"{kind} {got}, expected {wanted}"
    return None


def record_of(path: Path) -> Path:
    """The path of the file that records the sha256 of the first download."""
    return path.with_name(path.name + ".sha256")


def remembered(path: Path) -> Sums:
    """The recorded checksum of a file; no checksum if there is no record.

    Raises:
        DownloadError: the record does not hold a sha256.
    """
    record = record_of(path)
    if not record.exists():
        return Sums()
    digest = record.read_text(errors="replace").split(" ")[0].strip()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise DownloadError(f"{record} does not hold a sha256; delete it and run again")
    return Sums(sha256=digest)


def remember(path: Path, sums: Sums) -> None:
    """Record the sha256 of a file next to it, in the format of ``sha256sum --check``."""
    record_of(path).write_text(f"{sums.sha256}  {path.name}\n")
