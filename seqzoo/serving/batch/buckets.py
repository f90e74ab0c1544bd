"""Group rows by user on disk: rows are divided over files by a hash of the user's id."""

import io
import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

__all__ = ["USER_KEY", "Buckets", "buckets_for"]

logger = logging.getLogger("seqzoo")

USER_KEY = "__key"
_BUFFERED = 1 << 18
"""Rows that are held before they are written."""
_MOST = 4096
_BUCKET_BYTES = {".parquet": 1 << 20, ".pq": 1 << 20}
_TEXT_BYTES = 1 << 22
"""Bytes of the given file for each bucket; either is about 200,000 events."""
_LENGTH = 8
"""Bytes of a number before each frame in a file: how long it is."""
_DONE = "complete.json"


def buckets_for(path: Path) -> int:
    """How many buckets a file needs, so that each fits into memory many times.

    Warns of a file that needs more than there may be.
    """
    each, size = _BUCKET_BYTES.get(path.suffix.lower(), _TEXT_BYTES), path.stat().st_size
    needed = -(-size // each) or 1
    if needed > _MOST:
        logger.warning(
            "%s has %.1f GiB; above %.1f GiB the memory of a run grows with the file, here to "
            "about %.1f times as much: divide the file by user, and recommend for each part",
            path,
            size / 2**30,
            _MOST * each / 2**30,
            needed / _MOST,
        )
    return min(_MOST, needed)


class Buckets:
    """One file of rows for each bucket; a bucket has all rows of its users, in their order.

    Attributes:
        count: number of buckets.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self.count = count

    @property
    def complete(self) -> bool:
        """Whether all rows have been written."""
        return (self._folder / _DONE).is_file()

    def write(self, frames: Iterable[pl.DataFrame]) -> None:
        """Write the rows of frames, which have a column ``user``; does nothing if it was done.

        A write that was interrupted starts again.
        """
        if self.complete:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        held: list[pl.DataFrame] = []
        rows = 0
        for frame in frames:
            held.append(frame)
            rows += frame.height
            if rows >= _BUFFERED:
                self._flush(held)
                held, rows = [], 0
        if held:
            self._flush(held)
        (self._folder / _DONE).write_text(json.dumps({"buckets": self.count}))

    def _flush(self, frames: list[pl.DataFrame]) -> None:
        frame = pl.concat(frames)
        if self.count == 1:
            self._append(0, frame)
            return
        bucket = frame["user"].cast(pl.String).hash(seed=0) % self.count
        parts = frame.with_columns(bucket.alias(USER_KEY)).partition_by(
            USER_KEY, as_dict=True, include_key=False
        )
        for (key,), part in parts.items():
            self._append(int(key), part)

    def _append(self, bucket: int, frame: pl.DataFrame) -> None:
        content = io.BytesIO()
        frame.write_ipc(content, compression="lz4")
        with self._path(bucket).open("ab") as stream:
            stream.write(len(content.getbuffer()).to_bytes(_LENGTH, "little"))
            stream.write(content.getbuffer())

    def read(self, bucket: int) -> pl.DataFrame | None:
        """The rows of a bucket; None if it has none."""
        path, frames = self._path(bucket), []
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            while length := int.from_bytes(stream.read(_LENGTH), "little"):
                frames.append(pl.read_ipc(stream.read(length)))
        return pl.concat(frames)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for bucket in range(self.count):
            frame = self.read(bucket)
            if frame is not None:
                yield frame

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:04}.frames"
