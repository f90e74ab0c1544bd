"""Candidates and exclusions from a file or a table in memory: for everyone, or by user."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from seqzoo.data.readers.columns import ITEM_NAMES, USER_NAMES, choose_column, find_columns
from seqzoo.data.readers.convert import ids_of
from seqzoo.data.readers.memory import InMemory, is_in_memory, rows_in_memory
from seqzoo.data.readers.read import rows_of
from seqzoo.data.readers.sources import open_source
from seqzoo.data.readers.tables import Rows
from seqzoo.errors import DataError
from seqzoo.serving.batch.buckets import Buckets
from seqzoo.serving.batch.layout import Columns, Layout, find_layout
from seqzoo.serving.batch.users import frames_of_events, frames_of_users

__all__ = ["ItemLists", "is_table"]

_CHUNK = 1 << 18


class ItemLists:
    """Item ids for everyone, or a list of ids for each user.

    Attributes:
        everyone: the ids for all users; None if each user has a list of their own.
        path: the file of the lists by user; empty for a table in memory.
    """

    def __init__(
        self,
        everyone: Sequence[str] | None,
        path: Path = Path(),
        rows: Rows | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.everyone = everyone
        self.path = path
        self._rows, self._layout = rows, layout
        self._buckets: Buckets | None = None
        self._held: tuple[int | None, dict[str, list[str]]] = (-1, {})

    @classmethod
    def read(cls, path: str | Path) -> "ItemLists":
        """Open a file with a column of items, and with a column of users if they differ by user.

        Raises:
            DataError: the file cannot be read, or has no column of items.
        """
        return cls._of_rows(rows_of(open_source(path), _CHUNK), Path(path).expanduser())

    @classmethod
    def of_table(cls, table: InMemory) -> "ItemLists":
        """The same for a table in memory, whose lists by user need no division.

        Raises:
            DataError: the table cannot be read, or has no column of items.
        """
        lists = cls._of_rows(rows_in_memory(table), Path())
        if lists.everyone is None:
            lists._held = None, lists._load(pl.concat(lists._frames()))
        return lists

    @classmethod
    def _of_rows(cls, rows: Rows, path: Path) -> "ItemLists":
        if find_columns(rows.head.frame.columns, USER_NAMES):
            return cls(None, path, rows, find_layout(rows.head, Columns(time="")))
        column = choose_column(rows.head, "item", None, ITEM_NAMES)
        tables = rows.read([column])
        ids = [ids_of(table, "item", column).cast(pl.String) for table in tables]
        return cls(pl.concat(ids).unique(maintain_order=True).to_list())

    def divide(self, folder: Path, count: int) -> None:
        """Divide lists by user, as the histories are divided."""
        if self.everyone is None:
            self._buckets = Buckets(folder, count)
            self._buckets.write(self._frames())

    def of(self, users: pl.Series, bucket: int | None) -> Sequence[str] | list[list[str]]:
        """The ids for everyone, or the list of each user of a bucket, which may be empty."""
        if self.everyone is not None:
            return self.everyone
        if self._held[0] != bucket:
            if self._buckets is None or bucket is None:
                raise DataError("lists by user are divided before they are read")
            self._held = bucket, self._load(self._buckets.read(bucket))
        lists = self._held[1]
        return [lists.get(user, []) for user in users.cast(pl.String).to_list()]

    def _frames(self) -> Iterator[pl.DataFrame]:
        """The rows with users, chunk by chunk."""
        if self._rows is None or self._layout is None:
            return iter(())
        frames = frames_of_users if self._layout.whole else frames_of_events
        return frames(self._rows, self._layout)

    def _load(self, frame: pl.DataFrame | None) -> dict[str, list[str]]:
        if frame is None:
            return {}
        frame = frame.with_columns(pl.col("user").cast(pl.String))
        if "items" in frame.columns:
            frame = frame.select("user", pl.col("items")).explode("items").drop_nulls()
            frame = frame.rename({"items": "item"})
        grouped = frame.group_by("user").agg(pl.col("item").unique(maintain_order=True))
        return dict(grouped.iter_rows())


def is_table(given: object) -> bool:
    """Whether candidates or exclusions are a table in memory, not ids or a path."""
    return not isinstance(given, str | Sequence | pl.Series) and is_in_memory(given)
