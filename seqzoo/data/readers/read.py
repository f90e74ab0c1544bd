"""Read interactions from any known format, which is recognised by the files that are there."""

from collections.abc import Sequence
from pathlib import Path

from seqzoo.data.interactions import Interactions
from seqzoo.data.readers import formats
from seqzoo.data.readers.convert import to_interactions
from seqzoo.data.readers.formats import ItemTexts
from seqzoo.data.readers.json_lines import read_json_lines
from seqzoo.data.readers.memory import (
    EXPECTED_SOURCE,
    IN_MEMORY,
    InMemory,
    is_in_memory,
    rows_in_memory,
)
from seqzoo.data.readers.sources import Source, open_source
from seqzoo.data.readers.tables import CHUNK, Rows
from seqzoo.data.readers.text import read_text
from seqzoo.errors import DataError, UsageError

__all__ = ["DELIMITED", "JSON_LINES", "PARQUET", "SUFFIXES", "read_interactions", "rows_of"]

DELIMITED = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson")
_ROW_BYTES = 16
SUFFIXES = (".inter", ".dat", ".data", ".zip", *DELIMITED, *PARQUET, *JSON_LINES)

_KNOWN_FORMATS = (
    "a RecBole folder or .inter file, a GroupLens folder or zip (ratings.dat, u.data, "
    "ratings.csv), or a .csv, .tsv, .parquet or .jsonl file with named columns"
)


def read_interactions(
    source: str | Path | InMemory,
    *,
    user_col: str | None = None,
    item_col: str | None = None,
    time_col: str | None = None,
    label_col: str | None = None,
    features: Sequence[str] = (),
    name: str | None = None,
) -> Interactions:
    """Read interactions from a folder, a file, a publisher's zip archive or a table in memory.

    Supported are RecBole's atomic files, GroupLens's MovieLens sets, Amazon's 2014 ratings, and
    CSV, TSV, Parquet and JSON lines files with named columns. Text ids are kept unchanged, so
    ``007`` is not ``7``. Timestamps become unix seconds, see
    :func:`seqzoo.data.readers.times.read_times`. Columns that are not needed are ignored.

    Args:
        source: the folder or file, or a table (see :mod:`seqzoo.data.readers.memory`).
        user_col: the column of users; by default the one with a common name.
        item_col: the column of items; by default the one with a common name.
        time_col: the column of timestamps; by default the one with a common name, else that of
            positions; empty for the order of the rows.
        label_col: the column of titles; by default the one with a common name.
        features: further columns to read, of text or of numbers.
        name: name of the data in messages and recipes; by default the folder's or file's name.

    Raises:
        DataError: there is nothing at the path, its format is unknown, a column is missing or
            ambiguous, or a row is damaged; the message names the file, the line and the remedy.
        UsageError: the source is neither a path nor a table.
    """
    if isinstance(source, str | Path):
        opened = open_source(source)
        rows, items = rows_of(opened), _items_of(opened)
        name = name or opened.name
    elif is_in_memory(source):
        rows, items, name = rows_in_memory(source), ItemTexts(), name or IN_MEMORY
    else:
        raise UsageError(f"the data are {type(source).__name__}; {EXPECTED_SOURCE}")
    return to_interactions(
        rows,
        name=name,
        items=items,
        user_col=user_col,
        item_col=item_col,
        time_col=time_col,
        label_col=label_col,
        features=features,
    )


def rows_of(opened: Source, chunk: int | None = None) -> Rows:
    """The rows of the interactions at a path.

    Args:
        opened: the path.
        chunk: rows that are read at once, or of text 16 bytes for each; None for about two million.

    Raises:
        DataError: as :func:`read_interactions`.
    """
    name = opened.single or _choose_file(opened)
    file = opened[name]
    lower = name.lower()
    piece = None if chunk is None else _ROW_BYTES * chunk
    if lower.endswith(".inter"):
        return formats.read_atomic(file, piece)
    if lower.endswith(".dat"):
        return formats.read_double_colon(file, piece)
    if lower.endswith(".data"):
        return read_text(file, formats.TAB_RATINGS, piece=piece)
    if lower.endswith(PARQUET):
        return formats.read_parquet(file, chunk or CHUNK)
    if lower.endswith(JSON_LINES):
        return read_json_lines(file)
    if lower.endswith(DELIMITED):
        return formats.read_delimited(file, piece)
    raise DataError(f"{opened.shown}: the format of the file is unknown; expected {_KNOWN_FORMATS}")


def _items_of(opened: Source) -> ItemTexts:
    """The content of an item file next to the interactions."""
    name = opened.single or _choose_file(opened)
    lower = name.lower()
    if lower.endswith(".inter"):
        return formats.atomic_items(opened, name)
    if lower.endswith(".dat"):
        return formats.split_items(opened, "movies.dat", "::")
    if lower.endswith(".data"):
        return formats.split_items(opened, "u.item", "|")
    return formats.movies_csv_items(opened) if lower == "ratings.csv" else ItemTexts()


def _choose_file(opened: Source) -> str:
    """The file of a folder or an archive that holds the interactions."""
    for usual in (f"{opened.name}.inter", "ratings.dat", "u.data", "ratings.csv"):
        if usual in opened:
            return usual
    found = opened.ending_with(".inter") or opened.ending_with(*DELIMITED, *PARQUET, *JSON_LINES)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{opened.shown} holds several files that could be the interactions "
            f"({', '.join(found[:5])}); name the file itself: {opened.shown}/{found[0]}"
        )
    raise DataError(f"{opened.shown} holds no interactions; expected {_KNOWN_FORMATS}")
