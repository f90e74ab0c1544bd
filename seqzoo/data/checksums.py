"""Knowing a file again: published sums, or the sum seen first."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from seqzoo.errors import DownloadError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Sums:
    """What a file is known by.

    Attributes:
        size: bytes, or None where the publisher gives none.
        md5: in hexadecimal, or None.
        sha256: in hexadecimal, or None.
    """

    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    @property
    def published(self) -> bool:
        """Whether the publisher gives a sum, so that none has to be remembered."""
        return self.md5 is not None or self.sha256 is not None


def measure(path: Path) -> Sums:
    """The size and the sums of a file, in one pass."""
    # md5 is what the publisher gives; the sha256 beside it is what can be trusted.
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            md5.update(block)
            sha256.update(block)
            size += len(block)
    return Sums(size, md5.hexdigest(), sha256.hexdigest())


def difference(expected: Sums, found: Sums) -> str | None:
    """The first thing in which a file differs from what is expected, or None."""
    for kind in ("sha256", "md5", "size"):
        wanted, got = getattr(expected, kind), getattr(found, kind)
        if wanted is not None and str(wanted).lower() != str(got):
            return f"{kind} {got}, expected {wanted}"
    return None


def record_of(path: Path) -> Path:
    """Where the sum of a file that was seen first is remembered."""
    return path.with_name(path.name + ".sha256")


def remembered(path: Path) -> Sums:
    """The sum that was remembered for a file; nothing where there is none.

    Raises:
        DownloadError: the record does not hold a sum.
    """
    record = record_of(path)
    if not record.exists():
        return Sums()
    digest = record.read_text(errors="replace").split(" ")[0].strip()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise DownloadError(f"{record} does not hold a sha256; delete it and run again")
    return Sums(sha256=digest)


def remember(path: Path, sums: Sums) -> None:
    """Write the sha256 of a file beside it, in the form that ``sha256sum --check`` reads."""
    record_of(path).write_text(f"{sums.sha256}  {path.name}\n")
