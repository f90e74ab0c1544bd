"""Find the columns of users, items, timestamps and titles by their names."""

from collections.abc import Sequence

from seqzoo.data.readers.tables import Table
from seqzoo.errors import DataError, UsageError, nearest

__all__ = [
    "CATEGORY_NAMES",
    "ITEM_NAMES",
    "LABEL_NAMES",
    "POSITION_NAMES",
    "TIME_NAMES",
    "USER_NAMES",
    "check_different",
    "choose_column",
    "choose_optional",
    "find_columns",
]

# Column names of public data sets, in lower case without punctuation. The second group counts only
# if no column has a name of the first, for example sessions in data without users.
USER_NAMES = (
    ("userid", "user", "uid", "users", "useridx", "reviewerid", "customerid", "visitorid"),
    ("sessionid", "session", "playlistid", "u"),
)
ITEM_NAMES = (
    ("itemid", "item", "iid", "items", "itemidx", "movieid", "productid", "articleid"),
    ("asin", "parentasin", "movie", "product", "artistid", "trackid", "videoid", "bookid", "i"),
)
TIME_NAMES = (
    ("timestamp", "time", "ts", "unixtime", "unixreviewtime", "unixtimestamp"),
    ("datetime", "date", "createdat", "eventtime", "timestamps"),
)
POSITION_NAMES = (("position", "order"),)
LABEL_NAMES = (("title", "movietitle", "itemtitle", "itemname", "productname", "label"),)
CATEGORY_NAMES = (("genre", "genres", "category", "categories", "class"),)


def choose_column(
    table: Table,
    role: str,
    given: str | None,
    names: Sequence[Sequence[str]],
    *,
    hint: str = "",
) -> str:
    """Choose the column of a role: the given one, or the only one with a common name.

    Args:
        table: the table of the file.
        role: ``user``, ``item``, ``time`` or ``label``.
        given: the column that the user chose, or None.
        names: the common names in groups, the most likely group first, in lower case without
            punctuation.
        hint: another remedy for a missing column, for the message.

    Raises:
        DataError: the given column is missing, or none or several have a common name.
    """
    columns = table.frame.columns
    option = table.column_option(role)
    if given is not None:
        return _named(table, role, given)
    found = find_columns(columns, names)
    if len(found) == 1:
        return found[0]
    known = ", ".join(columns)
    if found:
        raise DataError(
            f"{table.file.shown}: the columns {' and '.join(found)} could both hold the {role} "
            f"(columns: {known}); choose one: {option}{found[0]}"
        )
    if all(_is_number(name) for name in columns):
        raise DataError(
            f"{table.file.shown}: the first line ({known}) holds numbers; expected names of "
            "columns: add a first line such as user,item,timestamp"
        )
    raise DataError(
        f"{table.file.shown}: no column is recognised as the {role} column (columns: {known}); "
        f"name it: {option}COLUMN{hint}"
    )


def find_columns(columns: Sequence[str], names: Sequence[Sequence[str]]) -> list[str]:
    """The columns whose name is in the first group that matches any column."""
    for group in names:
        found = [name for name in columns if "".join(filter(str.isalnum, name.lower())) in group]
        if found:
            return found
    return []


def choose_optional(
    table: Table, role: str, given: str | None, names: Sequence[Sequence[str]]
) -> str | None:
    """Like :func:`choose_column`, but None if no column or several have a common name.

    Raises:
        DataError: the given column is missing.
    """
    if given is not None:
        return _named(table, role, given)
    found = find_columns(table.frame.columns, names)
    return found[0] if len(found) == 1 else None


def check_different(table: Table, **roles: str | None) -> None:
    """Check that no column has two roles.

    Raises:
        UsageError: a column has two roles.
    """
    taken: dict[str, str] = {}
    for role, column in roles.items():
        if column is None:
            continue
        if column in taken:
            raise UsageError(
                f"{table.file.shown}: the column '{column}' is chosen for the {taken[column]} and "
                f"the {role}; expected two columns (columns: {', '.join(table.frame.columns)})"
            )
        taken[column] = role


def _named(table: Table, role: str, given: str) -> str:
    columns = table.frame.columns
    if given not in columns:
        option = table.column_option(role).strip(" =")
        raise DataError(
            f"{table.file.shown} has no column '{given}' for the {role} ({option}); its columns "
            f"are {', '.join(columns)}{nearest(given, columns)}"
        )
    return given


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
