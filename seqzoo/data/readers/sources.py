"""Where files come from: a folder, a publisher's zip archive, or a file alone."""

import difflib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from seqzoo.errors import DataError

_BLOCK = 1 << 20

# Limits on what a member of an archive may unpack to. Interactions as text shrink to a third or a
# tenth; deflate shrinks nothing by more than 1032, which is what zip bombs are made of.
_ALWAYS_UNPACKED = 64 << 20
_HIGHEST_RATIO = 100


@dataclass(frozen=True)
class SourceFile:
    """One file, on disk or inside an archive.

    Attributes:
        shown: the name that messages call it by.
        content: a path where the file lies on disk, its bytes where it comes from an archive.
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
    """The files found at one place.

    Attributes:
        name: what the place calls the data: the folder's name, or the file's without its ending.
        shown: the place as messages call it.
        single: the file's name where the user gave one file, else None.
        files: base name to a function that gives the file.
        folder: where titles can lie beside a single file, else None.
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
            return _on_disk(self.folder / name)()
        return self.files[name]()

    def ending_with(self, *endings: str) -> list[str]:
        """The names with one of these endings, in alphabetical order."""
        return sorted(name for name in self.files if name.lower().endswith(endings))


def open_source(path: str | Path) -> Source:
    """Look at what is at a path; files are read only when they are asked for.

    Raises:
        DataError: there is nothing at the path, or the archive is damaged.
    """
    path = Path(path).expanduser()
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise DataError(f"{str(path)[:80]!r} is no path: {error.strerror}") from error
    if is_folder:
        return Source(
            name=path.resolve().name,
            shown=str(path),
            single=None,
            files={file.name: _on_disk(file) for file in _files_of(path)},
        )
    if not path.exists():
        raise DataError(f"there is no file or folder {path}{_nearest_path(path)}")
    if path.suffix.lower() == ".zip":
        return _open_archive(path)
    return Source(
        name=path.stem,
        shown=str(path),
        single=path.name,
        files={path.name: _on_disk(path)},
        folder=path.parent,
    )


def _files_of(folder: Path) -> Iterator[Path]:
    try:
        return iter(sorted(file for file in folder.iterdir() if file.is_file()))
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from error


def _on_disk(file: Path) -> Callable[[], SourceFile]:
    return lambda: SourceFile(str(file), file)


def _open_archive(path: Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX/")
            ]
    # zipfile lets errors of struct, of codecs and of its own through, and lists them nowhere.
    except Exception as error:
        raise DataError(
            f"{path} is not a whole zip archive ({error}); download it again"
        ) from error
    # By base name, the shallowest first: archives hold one folder with the files in it.
    files: dict[str, Callable[[], SourceFile]] = {}
    for member in sorted(members, key=lambda name: name.count("/")):
        files.setdefault(member.rsplit("/", 1)[-1], _in_archive(path, member))
    return Source(name=path.stem, shown=str(path), single=None, files=files)


def _in_archive(path: Path, member: str) -> Callable[[], SourceFile]:
    def read() -> SourceFile:
        content = BytesIO()
        try:
            with zipfile.ZipFile(path) as archive:
                packed = archive.getinfo(member).compress_size
                limit = max(_ALWAYS_UNPACKED, _HIGHEST_RATIO * packed)
                with archive.open(member) as stream:
                    while content.tell() <= limit and (block := stream.read(_BLOCK)):
                        content.write(block)
        # As above; those of zlib, bz2 and lzma, and of encrypted members, come on top.
        except Exception as error:
            raise DataError(
                f"{path}: its member {member} cannot be read ({error}); download it again"
            ) from error
        if content.tell() > limit:
            raise DataError(
                f"{path}: its member {member} of {packed:,} bytes unpacks to more than {limit:,}, "
                f"over {_HIGHEST_RATIO} times as many, as only a zip bomb does; if you trust it, "
                "unpack it and give the folder"
            )
        return SourceFile(f"{path}:{member}", content.getvalue())

    return read


def _nearest_path(path: Path) -> str:
    """A hint at the existing path closest to one that does not exist, or an empty string."""
    if path.is_symlink():
        return f"; it is a link to {path.readlink()}, which is not there"
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
