"""Find and read the files of a folder, and check their size and sha256."""

import hashlib
import json
import os
import stat
from pathlib import Path

from seqzoo.errors import CheckpointError, IntegrityError

__all__ = [
    "canonical_text",
    "check_bytes",
    "inside",
    "is_plain_name",
    "read_bytes",
    "sha256_of",
    "sha256_of_bytes",
    "sha256_of_document",
    "wrong_sha256",
    "wrong_size",
]

_CHUNK = 1 << 20


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file as 64 hex digits.

    Raises:
        CheckpointError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(Path(path), error) from error
    return digest.hexdigest()


def canonical_text(document: object) -> str:
    """JSON with sorted keys and no spaces: equal documents have the same text.

    Raises:
        ValueError: the document holds NaN or an infinity, or nests too deeply.
        TypeError: the document holds a value that JSON has no form for.
    """
    try:
        return json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def sha256_of_bytes(content: bytes) -> str:
    """The sha256 of bytes as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_document(document: object) -> str:
    """The sha256 of a document's canonical text; raises as ``canonical_text`` does."""
    return sha256_of_bytes(canonical_text(document).encode())


def is_plain_name(name: object) -> bool:
    """Whether a name is that of a file directly in a folder, on every operating system."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not any(character in name for character in "/\\:\0")
    )


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of a regular file in a folder.

    A symbolic link may point to a file in the same folder. In a snapshot of the Hub's cache it may
    also point into the repository's ``blobs`` or the shared ones, where the cache stores all files.

    Raises:
        CheckpointError: the name is not a plain file name, the file is missing, is not a regular
            file, or is a link out of the folder.
    """
    folder = Path(folder)
    if not is_plain_name(name):
        raise CheckpointError(
            f"{folder}: {name!r} is not a plain file name; a checkpoint's files lie directly in "
            "its folder, so fetch the checkpoint again from a source you trust"
        )
    path = folder / name
    try:
        real, home = path.resolve(strict=True), folder.resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing; fetch the checkpoint again or restore the file"
        ) from None
    # Path.resolve reports a loop of links as a RuntimeError before Python 3.13.
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    if real.parent != home and not _is_blob(home, real):
        raise CheckpointError(
            f"{path} is a link out of the checkpoint's folder; replace it with the file itself"
        )
    if not regular:
        raise CheckpointError(f"{path} is not a regular file; restore the file")
    return path


def _is_blob(snapshot: Path, real: Path) -> bool:
    """Whether a file is in a folder where the Hub's cache stores the files of a snapshot."""
    if snapshot.parent.name != "snapshots":
        return False
    repository = snapshot.parent.parent
    # The folder may be a link, if it was moved to a larger disk.
    own = (repository / "blobs").resolve()
    # Files that came through Xet are shared by all repositories: blobs/ab/abcd….
    shared = (repository.parent / "blobs").resolve() / real.name[:2]
    return real.parent in (own, shared)


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a file that may be at most ``limit`` bytes long.

    Raises:
        CheckpointError: the file is longer, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            # Reading reserves the memory that it is given, so that is what the file needs.
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(min(size, limit) + 1)
            if size < len(content) <= limit:  # it has grown, or is a pipe
                content += stream.read(limit + 1 - len(content))
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from error
    if len(content) > limit:
        raise CheckpointError(f"{path} is longer than the {limit} bytes expected; restore the file")
    return content


def check_bytes(path: Path, content: bytes, size: int, sha256: str) -> None:
    """Check the bytes of a file against the recorded size and sha256.

    Raises:
        IntegrityError: the size or the sha256 differs.
    """
    if len(content) != size:
        raise wrong_size(path, len(content), size)
    found = sha256_of_bytes(content)
    if found != sha256:
        raise wrong_sha256(path, found, sha256)


def wrong_size(path: Path, found: int, expected: int) -> IntegrityError:
    """The error for a file whose size is not the recorded one."""
    return IntegrityError(
        f"{path} has {found} bytes, expected {expected}; fetch the checkpoint again or restore "
        "the file"
    )


def wrong_sha256(path: Path, found: str, expected: str) -> IntegrityError:
    """The error for a file whose sha256 is not the recorded one."""
    return IntegrityError(
        f"{path} has sha256 {found}, expected {expected}; fetch the checkpoint again or restore "
        "the file"
    )


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return CheckpointError(f"{path} cannot be read: {reason}; check the path and its permissions")
