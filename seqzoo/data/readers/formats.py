"""The file formats in which data sets are published."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from seqzoo.data.readers.columns import CATEGORY_NAMES, ITEM_NAMES, LABEL_NAMES, find_columns
from seqzoo.data.readers.panics import panics_as_errors
from seqzoo.data.readers.parquet_pages import check_pages
from seqzoo.data.readers.sources import Source, SourceFile
from seqzoo.data.readers.tables import CHUNK, Rows, Table
from seqzoo.data.readers.text import Layout, read_first_line, read_text
from seqzoo.errors import DataError

__all__ = [
    "ATOMIC_FIELD",
    "ATOMIC_LAYOUT",
    "RATING_COLUMNS",
    "TAB_RATINGS",
    "ItemTexts",
    "atomic_items",
    "first_labels",
    "movies_csv_items",
    "read_atomic",
    "read_delimited",
    "read_double_colon",
    "read_parquet",
    "split_items",
]

ATOMIC_FIELD = re.compile(r"(?P<name>.+):(?P<type>token|token_seq|float|float_seq)")
ATOMIC_LAYOUT = Layout("\t", quote=None)
RATING_COLUMNS = ("user", "item", "rating", "timestamp")

TAB_RATINGS = Layout("\t", quote=None, header=False, columns=RATING_COLUMNS)
"""ML-100K's ``u.data``: user, item, rating and timestamp, separated by tabs."""

# The first line of Amazon's ratings, which have no header: user, item, rating, unix time.
_AMAZON = re.compile(r"[^,]*,[^,]*,[0-5](\.\d+)?,\d{9,10}")


@dataclass(frozen=True)
class ItemTexts:
    """The content of an item file next to the interactions.

    Attributes:
        labels: titles by item id.
        categories: names of categories, such as genres, by item id.
    """

    labels: dict[str, str] = field(default_factory=dict)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_atomic(file: SourceFile, piece: int | None = None) -> Rows:
    """Read one of RecBole's atomic files; the ``:type`` of the column names is removed.

    Args:
        file: what to read.
        piece: bytes that are parsed at once, as for ``read_text``.

    Raises:
        DataError: the file is damaged.
    """
    return _without_types(read_text(file, ATOMIC_LAYOUT, piece=piece))


def atomic_items(source: Source, interactions: str) -> ItemTexts:
    """Titles and categories from the ``.item`` file next to an ``.inter`` file, if there is one.

    The title is the first ``token_seq`` column. With a column ``release_year`` the labels are
    ``Title (1995)``. Categories are the words of a column ``genre``, ``class`` or ``category``.

    Raises:
        DataError: the file is damaged or has no column of items.
    """
    name = interactions.removesuffix(".inter") + ".item"
    if name not in source:
        return ItemTexts()
    typed = read_text(source[name], ATOMIC_LAYOUT)
    rows = _without_types(typed)
    columns = rows.head.frame.columns
    names = zip(typed.head.frame.columns, columns, strict=True)
    texts = [column for name, column in names if name.endswith(":token_seq")]
    item = find_columns(columns, ITEM_NAMES)
    if not item:
        raise DataError(
            f"{rows.head.file.shown}: no column is recognised as the item column "
            f"(columns: {', '.join(columns)}); expected item_id:token"
        )
    categories = find_columns(columns, CATEGORY_NAMES)
    titles = [name for name in texts if name not in categories]
    titles = titles or find_columns(columns, LABEL_NAMES)
    if not titles and not categories:
        return ItemTexts()
    frame = rows.all(columns)
    named = pl.col(item[0]).alias("item")
    labels, found = {}, {}
    if titles:
        label = pl.col(titles[0])
        if "release_year" in columns:
            year = pl.col("release_year").str.strip_chars()
            is_year = year.str.contains(r"^\d{4}$").fill_null(False)
            label = pl.when(is_year).then(pl.format("{} ({})", label, year)).otherwise(label)
        labels = first_labels(frame.select(named, label.alias("label")))
    if categories:
        texts_of = first_labels(frame.select(named, pl.col(categories[0]).alias("label")))
        found = {item: tuple(text.split()) for item, text in texts_of.items()}
    return ItemTexts(labels, found)


def read_double_colon(file: SourceFile, piece: int | None = None) -> Rows:
    """Read ``user::item::rating::timestamp``, the format of ML-1M and ML-10M.

    Args:
        file: what to read.
        piece: bytes that are parsed at once, as for ``read_text``.

    Raises:
        DataError: the file is damaged or has another format.
    """
    number, first = read_first_line(file)
    if first.count("::") != len(RATING_COLUMNS) - 1:
        raise DataError(
            f"{file.shown}, line {number}: '{first[:60]}' is not of the form "
            "user::item::rating::timestamp; if it is a table with a header, rename it to .csv"
        )
    layout = Layout("::", quote=None, header=False, columns=RATING_COLUMNS)
    return read_text(file, layout, piece=piece)


def split_items(source: Source, name: str, separator: str) -> ItemTexts:
    """Titles and genres from lines such as ``item::title::genres`` next to the ratings, if any.

    The lines of ML-100K, which have more fields, have flags instead of genres.
    """
    if name not in source:
        return ItemTexts()
    with source[name].open() as stream:
        content = stream.read()
    # GroupLens wrote ML-100K and ML-1M in latin-1, which decodes any byte, and later sets in UTF-8.
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    # Not str.splitlines, which also splits at characters that titles may hold, such as U+0085.
    fields = [line.removesuffix("\r").split(separator) for line in text.split("\n")]
    named = [parts for parts in fields if len(parts) > 1 and parts[0]]
    return ItemTexts(
        {parts[0]: parts[1] for parts in named if parts[1]},
        {parts[0]: _genres(parts[2]) for parts in named if len(parts) == 3},
    )


def _genres(text: str) -> tuple[str, ...]:
    """The genres in GroupLens's ``Adventure|Comedy``; none in ``(no genres listed)``."""
    return tuple(genre for genre in text.split("|") if genre and not genre.startswith("("))


def movies_csv_items(source: Source) -> ItemTexts:
    """Titles and genres from ``movies.csv`` (movieId, title, genres) next to ``ratings.csv``.

    Raises:
        DataError: the file is damaged.
    """
    if "movies.csv" not in source:
        return ItemTexts()
    rows = read_text(source["movies.csv"], Layout(","))
    columns = [name for name in ("movieId", "title", "genres") if name in rows.head.frame.columns]
    if columns[:2] != ["movieId", "title"]:
        return ItemTexts()
    frame = rows.all(columns).rename({"movieId": "item", "title": "label"})
    genres = {}
    if "genres" in columns:
        texts = first_labels(frame.select("item", pl.col("genres").alias("label")))
        genres = {item: _genres(text) for item, text in texts.items()}
    return ItemTexts(first_labels(frame.select("item", "label")), genres)


def read_delimited(file: SourceFile, piece: int | None = None) -> Rows:
    """Read a CSV or TSV file with a header, or an Amazon 2014 ratings file, which has none.

    Args:
        file: what to read.
        piece: bytes that are parsed at once, as for ``read_text``.

    Raises:
        DataError: the file is damaged.
    """
    number, first = read_first_line(file)
    if _AMAZON.fullmatch(first):
        layout = Layout(",", header=False, columns=RATING_COLUMNS)
        return read_text(file, layout, (number, first), piece)
    # The most frequent separator in the header; in a tie, the more common one.
    separator = max("\t,;|", key=first.count) if not file.shown.endswith(".csv") else None
    separator = separator or max(",\t;|", key=first.count)
    return _without_types(read_text(file, Layout(separator), (number, first), piece))


def read_parquet(file: SourceFile, chunk: int = CHUNK) -> Rows:
    """Read a Parquet file, ``chunk`` rows at once; columns that nobody asks for are not read.

    Raises:
        DataError: the file is damaged, has no rows, or far more than its size suggests.
    """
    check_pages(file)
    head = _checked(file, lambda: pl.read_parquet(file.content, n_rows=0))
    count = int(
        _checked(file, lambda: pl.scan_parquet(file.content).select(pl.len()).collect()).item()
    )
    if not count:
        raise DataError(f"{file.shown} is empty; expected one interaction per row")

    def read(columns: Sequence[str]) -> Iterator[Table]:
        for start in range(0, count, chunk):
            lazy = pl.scan_parquet(file.content).select(columns).slice(start, chunk)
            frame = _checked(file, lazy.collect)
            rows = pl.int_range(start, start + frame.height, eager=True) if start else None
            yield Table(file, frame, rows)

    return Rows(Table(file, head), read)


def _checked(file: SourceFile, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    try:
        with panics_as_errors():
            return read()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{file.shown} cannot be read as Parquet: {str(error).splitlines()[0]}"
        ) from error


def _without_types(rows: Rows) -> Rows:
    """Remove RecBole's ``:type`` from the column names, if all of them have one."""
    typed = rows.head.frame.columns
    matches = [ATOMIC_FIELD.fullmatch(column) for column in typed]
    names = [match["name"] for match in matches if match is not None]
    if len(names) != len(typed) or len(set(names)) != len(names):
        return rows
    old = dict(zip(names, typed, strict=True))

    def read(columns: Sequence[str]) -> Iterator[Table]:
        for table in rows.read([old[column] for column in columns]):
            yield replace(
                table,
                frame=table.frame.rename(dict(zip(table.frame.columns, columns, strict=True))),
            )

    return Rows(
        replace(rows.head, frame=pl.DataFrame(schema=dict.fromkeys(names, pl.String))), read
    )


def first_labels(frame: pl.DataFrame) -> dict[str, str]:
    """The first label of each item, from the columns ``item`` and ``label``."""
    frame = frame.drop_nulls().unique("item", keep="first", maintain_order=True)
    return dict(frame.iter_rows())
