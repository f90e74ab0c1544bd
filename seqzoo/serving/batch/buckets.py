"""Group rows by user on disk: rows are divided over files by a hash of the user's id."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

__all__ = ["USER_KEY", "Buckets", "buckets_for"]

USER_KEY = "__key"
_BUFFERED = 1 << 19
"""Rows that are held before they are written."""
_MOST = 512
_BUCKET_BYTES = {".parquet": 1 << 22, ".pq": 1 << 22}
_TEXT_BYTES = 1 << 24
_DONE = "complete.json"


def buckets_for(path: Path) -> int:
    """How many buckets a file needs, so that each fits into memory many times."""
    each = _BUCKET_BYTES.get(path.suffix.lower(), _TEXT_BYTES)
    return min(_MOST, -(-path.stat().st_size // each) or 1)


class Buckets:
    """Rows in files; all rows of a user are in the same bucket, in the order they came in.

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
        flushes = rows = 0
        for frame in frames:
            held.append(frame)
            rows += frame.height
            if rows >= _BUFFERED:
                self._flush(held, flushes)
                held, rows, flushes = [], 0, flushes + 1
        if held:
            self._flush(held, flushes)
        (self._folder / _DONE).write_text(json.dumps({"buckets": self.count}))

    def _flush(self, frames: list[pl.DataFrame], number: int) -> None:
        frame = pl.concat(frames)
        if self.count == 1:
            frame.write_ipc(self._path(0, number), compression="lz4")
            return
        bucket = frame["user"].cast(pl.String).hash(seed=0) % self.count
        parts = frame.with_columns(bucket.alias(USER_KEY)).partition_by(
            USER_KEY, as_dict=True, include_key=False
        )
        for (key,), part in parts.items():
            part.write_ipc(self._path(int(key), number), compression="lz4")

    def read(self, bucket: int) -> pl.DataFrame | None:
        """The rows of a bucket; None if it has none."""
        paths = sorted(self._folder.glob(f"{bucket:04}-*.arrow"))
        frames = [pl.read_ipc(path) for path in paths]
        return pl.concat(frames) if frames else None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for bucket in range(self.count):
            frame = self.read(bucket)
            if frame is not None:
                yield frame

    def _path(self, bucket: int, number: int) -> Path:
        return self._folder / f"{bucket:04}-{number:06}.arrow"
