"""Features of items: named columns with one value for each item, of five kinds.

``text`` and ``category`` hold a string, ``categories`` several, ``number`` a number, ``vector`` a
given vector. An item without a value has an empty string, no categories, NaN, or a vector of zeros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqzoo.errors import DataError

__all__ = [
    "KINDS",
    "LABELS_KINDS",
    "FeatureColumn",
    "ItemTable",
    "aligned",
    "table_of_labels",
]

KINDS = ("text", "category", "categories", "number", "vector")

Values: TypeAlias = (
    tuple[str, ...] | tuple[tuple[str, ...], ...] | npt.NDArray[np.float64 | np.float32]
)


@dataclass(frozen=True, eq=False)
class FeatureColumn:
    """One feature of V items.

    Attributes:
        name: the name of the column.
        kind: one of ``KINDS``.
        values: strings (V), tuples of strings (V), float64 (V,), or float32 (V, W), by the kind.
    """

    name: str
    kind: str
    values: Values

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FeatureColumn):
            return NotImplemented
        if (self.name, self.kind, len(self)) != (other.name, other.kind, len(other)):
            return False
        if isinstance(self.values, tuple):
            return self.values == other.values
        return np.array_equal(self.values, np.asarray(other.values), equal_nan=True)

    @property
    def width(self) -> int:
        """Width W of a vector; 0 for other kinds."""
        return self.values.shape[1] if self.kind == "vector" else 0  # type: ignore[union-attr]

    @property
    def size(self) -> int:
        """The size of all values: how many numbers and characters they hold."""
        if not isinstance(self.values, tuple):
            return int(self.values.size)
        return sum(sum(map(len, value)) if value else 0 for value in self.values)

    def is_missing(self) -> npt.NDArray[np.bool_]:
        """Whether each item has no value (V,)."""
        if self.kind == "number":
            return np.isnan(np.asarray(self.values, dtype=np.float64))
        if self.kind == "vector":
            return np.asarray(~np.any(np.asarray(self.values) != 0, axis=1), dtype=np.bool_)
        return np.fromiter((not value for value in self.values), bool, len(self.values))

    def take(self, rows: npt.NDArray[np.int64]) -> "FeatureColumn":
        """The values of some rows (R,), and none where the row is -1."""
        values: Any
        if isinstance(self.values, tuple):
            empty: Any = () if self.kind == "categories" else ""
            values = tuple(empty if row < 0 else self.values[row] for row in rows.tolist())
        else:
            values = np.where(
                (rows < 0).reshape(-1, *[1] * (self.values.ndim - 1)),
                np.nan if self.kind == "number" else 0,
                self.values[rows],
            ).astype(self.values.dtype)
        return FeatureColumn(self.name, self.kind, values)

    def joined(self, other: "FeatureColumn") -> "FeatureColumn":
        """These values, then those of another column of the same kind."""
        values: Any
        if isinstance(self.values, tuple):
            values = (*self.values, *other.values)
        else:
            values = np.concatenate([self.values, np.asarray(other.values)])
        return FeatureColumn(self.name, self.kind, values)


@dataclass(frozen=True)
class ItemTable:
    """The features of V items in index order.

    Attributes:
        columns: the features; each has V values.
    """

    columns: tuple[FeatureColumn, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise DataError("the item features have no columns; expected at least one")
        if len({len(column) for column in self.columns}) > 1:
            lengths = ", ".join(f"{column.name} {len(column)}" for column in self.columns)
            raise DataError(f"the item features differ in length ({lengths})")

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def size(self) -> int:
        """The size of all values: how many numbers and characters they hold."""
        return sum(column.size for column in self.columns)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each column, by name."""
        return {column.name: column.kind for column in self.columns}

    @property
    def categories(self) -> list[tuple[str, ...]]:
        """The categories of each item (V), as ``COLUMN: VALUE``, of all columns that hold some."""
        found: list[tuple[str, ...]] = [()] * len(self)
        for column in self.columns:
            if column.kind in ("category", "categories"):
                sets: Any = column.values
                if column.kind == "category":
                    sets = [(value,) if value else () for value in column.values]
                named = (tuple(f"{column.name}: {value}" for value in each) for each in sets)
                found = [before + own for before, own in zip(found, named, strict=True)]
        return found

    def described(self) -> str:
        """The columns as text, with the share of items that have a value."""
        return ", ".join(
            f"{column.name} ({column.kind}, {1 - column.is_missing().mean():.0%} of the items)"
            for column in self.columns
        )

    def extended(self, more: "ItemTable | None", count: int) -> "ItemTable":
        """The table with the features of ``count`` more items; None gives them no values.

        Raises:
            DataError: the other table lacks a column, or has it in another kind or width.
        """
        given = {} if more is None else {column.name: column for column in more.columns}
        columns = []
        for column in self.columns:
            added = given.get(column.name)
            if more is not None and added is None:
                raise DataError(
                    f"the features of the new items have no column '{column.name}', which the "
                    f"model reads; their columns are {', '.join(given)}"
                )
            if added is not None and (added.kind, added.width) != (column.kind, column.width):
                raise DataError(
                    f"the feature '{column.name}' of the new items is {_form(added)}; the model "
                    f"reads {_form(column)}"
                )
            rows = np.full(count, -1, dtype=np.int64)
            columns.append(column.joined(column.take(rows) if added is None else added))
        return ItemTable(tuple(columns))


LABELS_KINDS = {"label": "text"}
"""The only column of features that are the titles of the data."""


def table_of_labels(labels: Sequence[str | None]) -> ItemTable:
    """Titles as features: one column of text."""
    return ItemTable((FeatureColumn("label", "text", tuple(label or "" for label in labels)),))


def aligned(
    columns: Sequence[FeatureColumn], ids: Sequence[str], items: Sequence[str]
) -> ItemTable:
    """The features of items, taken from rows in another order.

    Args:
        columns: with a value for each of ``ids``.
        ids: the item of each row; the first row of an item counts.
        items: the items in index order; those without a row get no values.

    Raises:
        DataError: no item has a row.
    """
    row_of: Mapping[str, int] = {item: row for row, item in reversed(list(enumerate(ids)))}
    rows = np.asarray([row_of.get(item, -1) for item in items], dtype=np.int64)
    if (rows < 0).all():
        raise DataError(
            f"none of the {len(items):,} items has features (items: '{items[0]}', features: "
            f"'{ids[0] if len(ids) else ''}'); expected a table with the same item ids"
        )
    return ItemTable(tuple(column.take(rows) for column in columns))


def _form(column: FeatureColumn) -> str:
    return f"a {column.kind}" + (f" of width {column.width}" if column.width else "")
