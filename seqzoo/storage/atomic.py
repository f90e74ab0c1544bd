"""Replace several files of a folder atomically: after a crash they are all old or all new.

The new files are written completely into ``.incoming-<random>``, with a list of their names. That
folder is then renamed to ``.commit``, and from this moment the new files are valid. Moving them
over the old ones afterwards can be interrupted at any point: the next process that opens the folder
finishes it. A reader without write permission looks into ``.commit`` first and sees the same files.
Files that no list names are never moved, read or removed.
"""

import errno
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TypeAlias, TypeVar

from seqzoo.errors import CheckpointError
from seqzoo.storage.documents import check, parse_json
from seqzoo.storage.integrity import inside, is_plain_name, read_bytes

__all__ = [
    "COMMIT",
    "INCOMING",
    "LISTED",
    "LOCK_SECONDS",
    "Content",
    "ReadT",
    "fcntl",
    "locate",
    "recover",
    "refused",
    "settled",
    "try_lock",
    "write_files",
]

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

COMMIT = ".commit"
INCOMING = ".incoming-"
LISTED = ".files"
"""In ``.commit``: a JSON list of the names of the committed files."""
LOCK_SECONDS = 60.0
"""How long a writer waits for another one."""

_READ_TRIES = 20
_LARGEST_LIST = 1 << 16
_LEFT_OVER = re.compile(re.escape(INCOMING) + "[0-9a-f]{16}")

ReadT = TypeVar("ReadT")
Content: TypeAlias = bytes | Callable[[Path], object]
"""A file's bytes, or a function that writes the file at the path it is given."""


def write_files(folder: str | os.PathLike[str], files: Mapping[str, Content]) -> None:
    """Write files of a folder together; other files in it stay as they are.

    Args:
        folder: created if it is missing, even without any files.
        files: content by plain file name.

    Raises:
        CheckpointError: a name is not plain, another process keeps writing here, or the system
            refuses (disk full, no permission, not a folder); the old files are still there.
    """
    folder = Path(folder)
    for name in files:
        if not is_plain_name(name) or name.startswith((COMMIT, INCOMING, LISTED)):
            raise CheckpointError(f"{folder}: {name!r} is not a plain file name; choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, wait=True) as alone:
            _recover(folder, alone)
            if not files:
                return
            # Paths that cannot be replaced are refused now, not in the middle of the moves.
            for name in files:
                path = folder / name
                if os.path.lexists(path) and path.is_dir() and not path.is_symlink():
                    raise IsADirectoryError(errno.EISDIR, f"{name} is a folder", str(path))
            if os.path.lexists(folder / COMMIT):
                raise CheckpointError(
                    f"{folder / COMMIT} is in the way and holds files that seqzoo did not write; "
                    "move them elsewhere and remove it"
                )
            _write(folder, files)
            _roll_forward(folder)
    except OSError as error:
        raise refused(folder, error) from error


def recover(folder: str | os.PathLike[str]) -> None:
    """Finish or undo a write that a crash has interrupted; does nothing without write permission.

    Readers call it first and then read through ``locate``, which also finds files that are
    committed but not moved yet.
    """
    folder = Path(folder)
    try:
        if not any(entry.name.startswith((COMMIT, INCOMING)) for entry in os.scandir(folder)):
            return
        with _locked(folder, wait=False) as alone:
            # Without the lock a live writer may be active, which finishes on its own. On systems
            # without locks, moving the committed files is still safe.
            if alone or fcntl is None:
                _recover(folder, alone)
    except OSError:
        return


def locate(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of a file for a reader: among the committed new files, else in the folder.

    Raises:
        CheckpointError: as ``integrity.inside`` does.
    """
    commit = Path(folder) / COMMIT
    if name in _committed(commit):
        try:
            return inside(commit, name)
        except CheckpointError:
            if os.path.lexists(commit / name):
                raise  # not a regular file; otherwise it has just been moved
    return inside(folder, name)


def settled(folder: str | os.PathLike[str], read: Callable[[], ReadT]) -> ReadT:
    """The result of ``read``, tried again if another process wrote into the folder during it.

    Readers take no lock, so that a stopped reader cannot keep a training run from saving.

    Raises:
        CheckpointError: ``read`` raised it and nothing had changed, or the folder keeps changing.
    """
    folder = Path(folder)
    for attempt in range(_READ_TRIES):
        before = _fingerprint(folder)
        try:
            return read()
        except CheckpointError:
            if _fingerprint(folder) == before:
                raise
        time.sleep(0.005 * attempt)
    raise CheckpointError(
        f"{folder} has changed during each of {_READ_TRIES} attempts to read it; read it when "
        "nothing writes there"
    )


def _fingerprint(folder: Path) -> list[object]:
    """A value that differs after any write that could have disturbed a reader."""
    commit = folder / COMMIT
    found: list[object] = []
    with suppress(OSError):
        found += sorted(os.listdir(commit)) if _is_real_folder(commit) else []
    for path in (folder, commit, *sorted(folder.glob("*.json"))):
        with suppress(OSError):
            status = path.lstat()
            found.append((path.name, status.st_ino, status.st_mtime_ns, status.st_size))
    return found


def _write(folder: Path, files: Mapping[str, Content]) -> None:
    incoming = folder / f"{INCOMING}{secrets.token_hex(8)}"
    try:
        incoming.mkdir()
        for name, content in files.items():
            path = incoming / name
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)
            _sync(path)
        (incoming / LISTED).write_text(json.dumps(sorted(files)))
        _sync(incoming / LISTED)
        _sync(incoming)
        incoming.rename(folder / COMMIT)
    # Nothing half-written stays behind, not even after Ctrl-C.
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    _sync(folder)


def _recover(folder: Path, alone: bool) -> None:
    _roll_forward(folder)
    if alone:
        for entry in list(os.scandir(folder)):
            if _LEFT_OVER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)


def _roll_forward(folder: Path) -> None:
    """Move committed files over the old ones. Another process may be doing the same."""
    commit = folder / COMMIT
    if not _is_real_folder(commit):
        return
    names = _committed(commit)
    for name in names:
        with suppress(FileNotFoundError):
            if stat.S_ISREG((commit / name).lstat().st_mode):
                os.replace(commit / name, folder / name)
    _sync(folder)
    try:
        if names:
            (commit / LISTED).unlink(missing_ok=True)
        commit.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _committed(commit: Path) -> list[str]:
    """Names of the files that a writer has committed; none if their list is missing or damaged."""
    if not _is_real_folder(commit):
        return []
    try:
        names = parse_json(commit, read_bytes(inside(commit, LISTED), _LARGEST_LIST), most=1)
        return [name for name in check(commit, names, list[str]) if is_plain_name(name)]
    except CheckpointError:
        return []


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the folder's lock, which ends with the process; yields whether it was obtained."""
    if fcntl is None:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while (locked := try_lock(descriptor)) is False and wait:
            if time.monotonic() > until:
                raise CheckpointError(
                    f"{folder}: another process has been writing here for {LOCK_SECONDS:.0f} s; "
                    "wait for it or choose another folder"
                )
            time.sleep(0.02)
        yield bool(locked)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; False if another has it locked, None without locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _is_real_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot sync a folder; they order renames by themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


_REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EACCES: "check its permissions or choose another folder",
    errno.EPERM: "check its permissions or choose another folder",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOTDIR: "choose a path that is a folder",
    errno.EEXIST: "choose a path that is a folder",
    errno.EISDIR: "remove it or choose another folder",
}


def refused(folder: Path, error: OSError) -> CheckpointError:
    """The error for a folder that the system refuses to write, with its remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "choose another folder")
    reason = error.strerror or type(error).__name__
    return CheckpointError(
        f"{folder}: the checkpoint cannot be written: {reason}; {remedy} (the old files are kept)"
    )
