"""One call for all forms of data: look at what is there and read it."""

from collections.abc import Mapping
from pathlib import Path

from seqzoo.data.interactions import Interactions
from seqzoo.data.readers import formats
from seqzoo.data.readers.convert import to_interactions
from seqzoo.data.readers.memory import (
    EXPECTED_SOURCE,
    IN_MEMORY,
    InMemory,
    is_in_memory,
    table_in_memory,
)
from seqzoo.data.readers.sources import Source, open_source
from seqzoo.data.readers.text import Table
from seqzoo.errors import DataError, UsageError

DELIMITED = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
SUFFIXES = (".inter", ".dat", ".data", ".zip", *DELIMITED, *PARQUET)

_KNOWN_FORMS = (
    "a RecBole folder or .inter file, a GroupLens folder or zip (ratings.dat, u.data, "
    "ratings.csv), or a .csv, .tsv or .parquet file with named columns"
)


def read_interactions(
    source: str | Path | InMemory,
    *,
    user_col: str | None = None,
    item_col: str | None = None,
    time_col: str | None = None,
    label_col: str | None = None,
    name: str | None = None,
) -> Interactions:
    """Read interactions from a folder, a file, a publisher's zip archive or a table in memory.

    The form is recognised by what is there: RecBole's atomic files, GroupLens's MovieLens sets,
    Amazon's 2014 ratings, or a CSV, TSV or Parquet file whose header names the columns. Ids stay
    the text that the data have, so ``007`` is not ``7``. Times are whole unix seconds (see
    :func:`seqzoo.data.readers.times.read_times`). Other columns are ignored.

    Args:
        source: the folder or file, or a table (see :mod:`seqzoo.data.readers.memory`).
        user_col: the column of users, where its name is not a usual one.
        item_col: the column of items.
        time_col: the column of times; empty to take the rows in the order of the file.
        label_col: the column of titles.
        name: what messages and recipes call the data; by default the folder's or file's name.

    Raises:
        DataError: there is nothing at the path, its form is not known, or a row is damaged; one
            line with the file, the line and the remedy.
        UsageError: the source is neither a path nor a table.
    """
    if isinstance(source, str | Path):
        place = open_source(source)
        table, labels = _read(place)
        name = name or place.name
    elif is_in_memory(source):
        table, labels, name = table_in_memory(source), {}, name or IN_MEMORY
    else:
        raise UsageError(f"the data are {type(source).__name__}; {EXPECTED_SOURCE}")
    return to_interactions(
        table,
        name=name,
        labels=labels,
        user_col=user_col,
        item_col=item_col,
        time_col=time_col,
        label_col=label_col,
    )


def _read(place: Source) -> tuple[Table, Mapping[str, str]]:
    """The table of interactions and the titles beside it."""
    name = place.single or _choose_file(place)
    file = place[name]
    lower = name.lower()
    if lower.endswith(".inter"):
        return formats.read_atomic(file), formats.atomic_labels(place, name)
    if lower.endswith(".dat"):
        return formats.read_double_colon(file), formats.double_colon_labels(place)
    if lower.endswith(".data"):
        return formats.read_tab_ratings(file), formats.bar_labels(place)
    if lower.endswith(PARQUET):
        return formats.read_parquet(file), {}
    if lower.endswith(DELIMITED):
        labels = formats.movies_csv_labels(place) if lower == "ratings.csv" else {}
        return formats.read_delimited(file), labels
    raise DataError(f"{place.shown}: the form of the file is not known; expected {_KNOWN_FORMS}")


def _choose_file(place: Source) -> str:
    """The file of a folder or an archive that holds the interactions."""
    for usual in (f"{place.name}.inter", "ratings.dat", "u.data", "ratings.csv"):
        if usual in place:
            return usual
    found = place.ending_with(".inter") or place.ending_with(*DELIMITED, *PARQUET)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{place.shown} holds several files that could be the interactions "
            f"({', '.join(found[:5])}); name the file itself: {place.shown}/{found[0]}"
        )
    raise DataError(f"{place.shown} holds no interactions; expected {_KNOWN_FORMS}")
