"""The table of interactions, and its k-core filter."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.errors import DataError

__all__ = [
    "COLUMNS",
    "FRACTION",
    "Interactions",
    "codes_by_appearance",
    "k_core",
]

logger = logging.getLogger("seqzoo")

COLUMNS = {"user": pl.String(), "item": pl.String(), "order": pl.Int64()}
FRACTION = {"fraction": pl.Float64()}


@dataclass(frozen=True)
class Interactions:
    """Who interacted with which item and when, with the data's own ids, in row order.

    Build it with :meth:`from_frame`, which checks the table.

    Attributes:
        frame: columns ``user`` (String), ``item`` (String), ``order`` (Int64); and ``fraction``
            (Float64, at least 0 and less than 1) where timestamps have fractions of a second. These
            order the events within a second.
        labels: titles by item id; empty if the data have none.
        name: the name of the data in messages and recipes.
        has_times: True where ``order`` is unix seconds, False where it is only a position.
    """

    frame: pl.DataFrame
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = "interactions"
    has_times: bool = True

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame,
        *,
        labels: Mapping[str, str] | None = None,
        name: str = "interactions",
        has_times: bool = True,
    ) -> "Interactions":
        """Check a table and wrap it.

        Args:
            frame: columns ``user``, ``item`` (text), ``order`` (int64) and optionally ``fraction``
                (float64); other columns are dropped.
            labels: titles by item id.
            name: the name of the data in messages.
            has_times: whether ``order`` is unix seconds.

        Raises:
            DataError: a column is missing, has another type or lacks values, or there is no row.
        """
        columns = {**COLUMNS, **(FRACTION if "fraction" in frame.columns else {})}
        for column, dtype in columns.items():
            if column not in frame.columns:
                raise DataError(
                    f"{name}: interactions have the columns {', '.join(frame.columns)}; "
                    f"expected {', '.join(COLUMNS)}"
                )
            if frame.schema[column] != dtype:
                raise DataError(
                    f"{name}: column '{column}' is {frame.schema[column]}; expected {dtype}"
                )
            if frame[column].null_count():
                row = frame[column].is_null().arg_max()
                raise DataError(f"{name}: column '{column}' has no value in row {row}")
        if frame.is_empty():
            raise DataError(f"{name}: there are no interactions; expected at least one row")
        if "fraction" in columns:
            is_fraction = frame["fraction"].is_between(0, 1, closed="left")
            if not is_fraction.all():
                row = (~is_fraction).arg_max() or 0
                raise DataError(
                    f"{name}: the fraction in row {row} is {frame['fraction'][row]}; expected at "
                    "least 0 and less than 1"
                )
        return cls(frame.select(*columns), dict(labels or {}), name, has_times)

    def __len__(self) -> int:
        return self.frame.height

    @property
    def num_users(self) -> int:
        """Number of different users."""
        return self.frame["user"].n_unique()

    @property
    def num_items(self) -> int:
        """Number of different items."""
        return self.frame["item"].n_unique()

    def size(self) -> str:
        """The numbers of interactions, users and items, for messages."""
        users, items = self.num_users, self.num_items
        return f"{len(self):,} interactions of {users:,} users with {items:,} items"


def codes_by_appearance(column: pl.Series) -> tuple[npt.NDArray[np.int64], pl.Series]:
    """Encode the values of a text column as 0, 1, … in order of first appearance.

    Returns:
        The code of every row (N,), int64, and the different values in the order of their codes.
    """
    values = column.unique(maintain_order=True)
    numbered = pl.DataFrame({"value": values}).with_row_index("code")
    codes = (
        pl.DataFrame({"value": column})
        .join(numbered, on="value", how="left", maintain_order="left")["code"]
        .cast(pl.Int64)
    )
    return codes.to_numpy(), values


def k_core(interactions: Interactions, minimum: int = 5, *, report: bool = True) -> Interactions:
    """Drop users and items with fewer than ``minimum`` interactions, until there are none.

    Args:
        interactions: the table; the order of its rows is kept.
        minimum: minimum interactions per user and item; 1 or less keeps all.
        report: log the numbers of rows, users and items before and after: as a warning where more
            than half of the items are dropped, otherwise as information.

    Raises:
        DataError: nothing is left.
    """
    if minimum <= 1:
        return interactions
    users, user_ids = codes_by_appearance(interactions.frame["user"])
    items, item_ids = codes_by_appearance(interactions.frame["item"])
    kept = np.arange(len(users))
    while len(kept):
        enough_of_user = np.bincount(users[kept], minlength=len(user_ids)) >= minimum
        enough_of_item = np.bincount(items[kept], minlength=len(item_ids)) >= minimum
        stays = enough_of_user[users[kept]] & enough_of_item[items[kept]]
        if stays.all():
            break
        kept = kept[stays]
    if not len(kept):
        raise DataError(
            f"{interactions.name}: the {minimum}-core of {interactions.size()} is empty: no set of "
            f"users and items has {minimum} interactions each; give a lower --min-count "
            "(data.min_count in a recipe)"
        )
    core = interactions
    if len(kept) < len(users):
        core = replace(interactions, frame=interactions.frame[kept])
    if report:
        many = 2 * core.num_items < len(item_ids)
        logger.log(
            logging.WARNING if many else logging.INFO,
            "%s: %s; after the %d-core filter: %s%s",
            interactions.name,
            interactions.size(),
            minimum,
            core.size(),
            "; to keep more items, give a lower --min-count (data.min_count in a recipe)"
            if many
            else "",
        )
    return core
