"""Recommendations for the users of tables in memory, table by table: for Spark, Ray and others."""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from seqzoo.data.readers.memory import InMemory, rows_in_memory
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.batch.layout import Columns, find_layout
from seqzoo.serving.batch.lists import ItemLists, is_table
from seqzoo.serving.batch.score import SCHEMA, Options, answer
from seqzoo.serving.batch.users import grouped_in_memory

__all__ = [
    "recommend_tables",
]


def recommend_tables(
    model: SequenceModel,
    tables: Iterable[InMemory],
    k: int = 10,
    *,
    user_col: str | None = None,
    item_col: str | None = None,
    time_col: str | None = None,
    history_col: str | None = None,
    **options: Any,
) -> Iterator[pl.DataFrame]:
    """The recommendations for the users of each table, one table of recommendations for each.

    A table has one row per event or one row per user, like the files of ``recommend_file``. With
    one row per event, all events of a user must be in the same table.

    Args:
        model: any model.
        tables: Arrow tables or record batches, polars or pandas data frames, and so on.
        k: number of items for each user.
        user_col: column of users; by default the one with a common name.
        item_col: column of items; by default the one with a common name.
        time_col: column of timestamps; by default the one with a common name; empty for the order
            of the rows.
        history_col: column with all items of a user.
        options: ``exclude_seen``, ``on_unknown``, ``on_cold`` (``empty`` by default) and
            ``batch_size``, as for ``recommend_many``; ``candidates`` and ``exclude``: item ids for
            everyone, or a table in memory like the files of ``recommend_file``: with a column of
            users, each user has a list of their own, and users without candidates get nothing.

    Yields:
        Tables with the columns user, rank, item, score and label. ``.to_arrow()`` and
        ``.to_pandas()`` convert them.

    Raises:
        DataError: a table cannot be read; the message names the row.
        UsageError: an argument is invalid.
        UnknownItemError: as for ``recommend_many``.
    """
    given = {what: options.pop(what, None) for what in ("candidates", "exclude")}
    checked = Options(k, **options)
    checked.check(model)
    lists: dict[str, Any] = {
        what: ItemLists.of_table(each) if is_table(each) else each for what, each in given.items()
    }
    columns = Columns(user_col, item_col, time_col, history_col)
    warned = False
    for table in tables:
        rows = rows_in_memory(table)
        found = []
        for block in grouped_in_memory(rows, find_layout(rows.head, columns)):
            if not warned:
                model.warn_of_timestamps(block.times)
                warned = True
            wanted: dict[str, Any] = {
                what: each.of(block.users, None) if isinstance(each, ItemLists) else each
                for what, each in lists.items()
            }
            found.append(answer(model, block, checked, **wanted).frame)
        yield pl.concat(found) if found else pl.DataFrame(schema=SCHEMA)
