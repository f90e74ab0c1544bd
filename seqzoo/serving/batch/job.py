"""A run that writes a file in parts and can be resumed; the file appears when it is complete."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import polars as pl

from seqzoo.errors import CheckpointError, DataError, UsageError, nearest
from seqzoo.storage.atomic import try_lock
from seqzoo.storage.documents import check, parse_json
from seqzoo.storage.fields import Closed, Count
from seqzoo.storage.integrity import sha256_of_document

__all__ = ["FORMATS", "Job", "Part", "out_error"]

logger = logging.getLogger("seqzoo")

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The format of the output file by its ending."""

_AGAIN = "its part is computed again"


class Part(Closed):
    """What one part holds: counts of users, cold users, rows and unknown ids."""

    part: Count
    users: Count
    cold: Count
    rows: Count
    unknown: Count


class Job:
    """The working folder of one output file, ``.NAME.partial`` next to it.

    Attributes:
        out: the file.
        folder: the working folder.
        done: the finished parts by number.
    """

    def __init__(self, out: str | Path, *, overwrite: bool = False) -> None:
        """Check the output file.

        Raises:
            UsageError: its ending is unknown, it exists, or its folder does not.
        """
        self.out = Path(out).expanduser()
        ending = self.out.suffix.lower()
        if ending not in FORMATS:
            raise UsageError(
                f"--out {self.out} ends in '{ending}'{nearest(ending, FORMATS) or ';'} expected "
                f"one of: {', '.join(FORMATS)}"
            )
        self.format = FORMATS[ending]
        if self.out.is_dir() or (self.out.exists() and not overwrite):
            raise UsageError(
                f"{self.out} exists already; give another --out, or replace it with --overwrite"
            )
        if not self.out.parent.is_dir():
            raise UsageError(f"the folder {self.out.parent} does not exist; create it first")
        self.folder = self.out.parent / f".{self.out.name}.partial"
        self.done: dict[int, Part] = {}
        self._lock: IO[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self, settings: Mapping[str, Any]) -> bool:
        """Begin, or resume an interrupted run with the same settings.

        Args:
            settings: everything that the rows depend on, as plain values.

        Returns:
            Whether an interrupted run is resumed.

        Raises:
            UsageError: another process writes the same file.
        """
        self.folder.mkdir(exist_ok=True)
        self._lock = (self.folder / "lock").open("ab")
        if try_lock(self._lock.fileno()) is False:
            raise UsageError(
                f"another process is writing {self.out}; wait for it or give another --out"
            )
        digest = sha256_of_document(settings)
        mark = self.folder / "settings.sha256"
        resumed = mark.is_file() and mark.read_bytes() == digest.encode()
        if not resumed:
            if mark.is_file():
                logger.warning(
                    "%s: an interrupted run had other settings or data; starting again", self.out
                )
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != "lock":
                    path.unlink()
            mark.write_text(digest)
        self.done = {part.part: part for part in self._finished()}
        self._log = (self.folder / "done.jsonl").open("ab")
        return bool(self.done) or (resumed and any(self.folder.glob("*/complete.json")))

    def _finished(self) -> Iterator[Part]:
        """The parts that the log records; a part whose line is damaged is computed again."""
        path = self.folder / "done.jsonl"
        if not path.is_file():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # cut off in the middle of a line
            path.write_bytes(whole)
        for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
            where = f"{path}, line {number}"
            try:
                part = check(where, parse_json(where, line, remedy=_AGAIN), Part, _AGAIN)
            except CheckpointError as error:
                logger.warning("%s", error)
                continue
            if self._path(part.part).is_file():
                yield part

    def add(self, frame: pl.DataFrame, part: Part) -> None:
        """Keep the rows of a part; once this returns, the part is never computed again."""
        path = self._path(part.part)
        unfinished = path.with_suffix(".tmp")
        with unfinished.open("wb") as stream:
            if self.format == "csv":
                frame.write_csv(stream, include_header=False)
            elif self.format == "jsonl":
                frame.write_ndjson(stream)
            else:
                frame.write_parquet(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
        assert self._log is not None  # noqa: S101 - start() was called
        self._log.write(msgspec.json.encode(part) + b"\n")
        self._log.flush()
        os.fsync(self._log.fileno())
        self.done[part.part] = part

    def finish(self, schema: Mapping[str, pl.DataType]) -> None:
        """Put the parts together, replace the output file, and remove the working folder."""
        paths = [self._path(number) for number in sorted(self.done)]
        whole = self.folder / "whole.tmp"
        if self.format == "parquet":
            if paths:
                pl.scan_parquet(paths).sink_parquet(whole, maintain_order=True)
            else:
                pl.DataFrame(schema=schema).write_parquet(whole)
        else:
            with whole.open("wb") as stream:
                if self.format == "csv":
                    pl.DataFrame(schema=schema).write_csv(stream)
                for path in paths:
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, stream, 1 << 20)
        with whole.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(whole, self.out)
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """Release the working folder; an interrupted run can be resumed from it."""
        for stream in (self._log, self._lock):
            if stream is not None:
                stream.close()
        self._log = self._lock = None

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:08}.{self.format}"


def out_error(out: Path, error: OSError) -> DataError:
    """The error for a file that the system refuses to write."""
    reason = error.strerror or type(error).__name__
    return DataError(
        f"{out} cannot be written: {reason}; free some space or choose another --out (the same "
        "command then resumes)"
    )
