"""Access to the files of a folder, of a zip archive, or to a single file."""

import difflib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO

from seqzoo.errors import DataError

__all__ = ["ALWAYS_UNPACKED", "HIGHEST_RATIO", "Source", "SourceFile", "open_source"]

_BLOCK = 1 << 20

# The most bytes that a member of an archive may unpack to: this many, or this many times its
# compressed size. Text compresses to a third or a tenth, a zip bomb to less than a hundredth.
ALWAYS_UNPACKED = 64 << 20
HIGHEST_RATIO = 100


@dataclass(frozen=True)
class SourceFile:
    """One file, on disk or inside an archive.

    Attributes:
        shown: the name of the file in messages.
        content: the path of a file on disk, or the bytes of a file from an archive.
    """

    shown: str
    content: Path | bytes

    def open(self) -> IO[bytes]:
        """Open the content for reading.

        Raises:
            DataError: the file cannot be opened.
        """
        if isinstance(self.content, bytes):
            return BytesIO(self.content)
        try:
            return self.content.open("rb")
        except OSError as error:
            raise DataError(f"{self.shown} cannot be opened: {error.strerror}") from error


@dataclass(frozen=True)
class Source:
    """The files at a path.

    Attributes:
        name: the name of the data: that of the folder, or of the file without its ending.
        shown: the path in messages.
        single: the name of the file if the path is one file, else None.
        files: functions that return the file, by base name.
        folder: the folder of a single file, which may also have files of titles; else None.
    """

    name: str
    shown: str
    single: str | None
    files: dict[str, Callable[[], SourceFile]]
    folder: Path | None = None

    def __contains__(self, name: str) -> bool:
        beside = self.folder is not None and (self.folder / name).is_file()
        return name in self.files or beside

    def __getitem__(self, name: str) -> SourceFile:
        if name not in self.files and self.folder is not None:
            return SourceFile(str(self.folder / name), self.folder / name)
        return self.files[name]()

    def ending_with(self, *endings: str) -> list[str]:
        """The names of the files with one of these endings, in alphabetical order."""
        return sorted(name for name in self.files if name.lower().endswith(endings))


def open_source(path: str | Path) -> Source:
    """Find the files at a path; their content is read later, on demand.

    Raises:
        DataError: there is nothing at the path, or the archive is damaged.
    """
    path = Path(path).expanduser()
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise DataError(f"{str(path)[:80]!r} is not a valid path: {error.strerror}") from error
    if is_folder:
        try:
            inside = sorted(file for file in path.iterdir() if file.is_file())
        except OSError as error:
            raise DataError(f"{path} cannot be listed: {error.strerror}") from error
        return Source(
            name=path.resolve().name,
            shown=str(path),
            single=None,
            files={file.name: partial(SourceFile, str(file), file) for file in inside},
        )
    if not path.exists():
        raise DataError(f"there is no file or folder {path}{_nearest_path(path)}")
    if path.suffix.lower() == ".zip":
        return _open_archive(path)
    return Source(
        name=path.stem,
        shown=str(path),
        single=path.name,
        files={path.name: partial(SourceFile, str(path), path)},
        folder=path.parent,
    )


def _open_archive(path: Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX/")
            ]
    # For damaged archives zipfile raises exceptions of many modules; it documents few of them.
    except Exception as error:
        raise DataError(
            f"{path} is damaged or not a zip archive ({error}); download it again"
        ) from error
    # Usually the files are inside one folder. Of files with the same base name the one that is in
    # the fewest folders counts.
    files: dict[str, Callable[[], SourceFile]] = {}
    for member in sorted(members, key=lambda name: name.count("/")):
        files.setdefault(member.rsplit("/", 1)[-1], partial(_read_member, path, member))
    return Source(name=path.stem, shown=str(path), single=None, files=files)


def _read_member(path: Path, member: str) -> SourceFile:
    content = BytesIO()
    try:
        with zipfile.ZipFile(path) as archive:
            packed = archive.getinfo(member).compress_size
            limit = max(ALWAYS_UNPACKED, HIGHEST_RATIO * packed)
            with archive.open(member) as stream:
                while content.tell() <= limit and (block := stream.read(_BLOCK)):
                    content.write(block)
    # As above; also those of zlib, bz2 and lzma, and for encrypted members.
    except Exception as error:
        raise DataError(
            f"{path}: its member {member} cannot be read ({error}); download it again"
        ) from error
    if content.tell() > limit:
        raise DataError(
            f"{path}: its member {member} of {packed:,} bytes unpacks to more than {limit:,} "
            f"bytes, over {HIGHEST_RATIO} times as many: it may be a zip bomb; if you trust "
            "it, unpack it and give the folder"
        )
    return SourceFile(f"{path}:{member}", content.getvalue())


def _nearest_path(path: Path) -> str:
    """A hint at the existing path that is most similar to a missing one, or an empty string."""
    if path.is_symlink():
        return f"; it is a link to {path.readlink()}, which does not exist"
    missing = path
    while not missing.parent.exists() and missing != missing.parent:
        missing = missing.parent
    try:
        names = [entry.name for entry in missing.parent.iterdir()]
    except OSError:
        return ""
    matches = difflib.get_close_matches(missing.name, names, n=1, cutoff=0.5)
    if matches:
        return f"; did you mean '{missing.parent / matches[0]}'?"
    return "" if missing == path else f"; {missing} does not exist either"
