"""The table of interactions, and its k-core filter."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from seqzoo.data.codes import Encoder, renumbered
from seqzoo.data.counting import Bools, Int32s, Int64s, core_rows
from seqzoo.data.features import FeatureColumn
from seqzoo.data.summary import AS_READ, Summary, summarise
from seqzoo.errors import DataError

__all__ = [
    "COLUMNS",
    "FRACTION",
    "Interactions",
    "core_or_none",
    "k_core",
    "loss_of_items",
]

logger = logging.getLogger("seqzoo")

COLUMNS = {"user": pl.String(), "item": pl.String(), "order": pl.Int64()}
FRACTION = {"fraction": pl.Float64()}


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who interacted with which item and when, with the data's own ids, in row order.

    Build it with :meth:`from_frame`, which checks the table. Ids are stored once: each row has
    codes of 32 bits instead.

    Attributes:
        users: the code of the user of each row (N,), int32.
        items: the code of the item of each row (N,), int32.
        order: unix seconds, or positions, of each row (N,), int64.
        fractions: fractions of a second (N,), float64, at least 0 and less than 1, or None. They
            order the events within a second.
        user_ids: the id of each user code (U,), text; codes are in order of first appearance.
        item_ids: the id of each item code (V,), text; codes are in order of first appearance.
        labels: titles by item id; empty if the data have none.
        categories: names of categories by item id, genres for example; empty if the data have none.
        name: the name of the data in messages and recipes.
        has_times: True where ``order`` is unix seconds, False where it is only a position.
        features: further columns of the rows by name, which a model may read.
        filters: the filters that were applied, such as ``5-core``, each with a summary of the data
            before it.
    """

    users: Int32s
    items: Int32s
    order: Int64s
    fractions: npt.NDArray[np.float64] | None
    user_ids: pl.Series
    item_ids: pl.Series
    labels: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = "interactions"
    has_times: bool = True
    filters: tuple[tuple[str, Summary], ...] = ()
    features: Mapping[str, FeatureColumn] = field(default_factory=dict)

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
        users, items = Encoder(), Encoder()
        return cls(
            users=users.encode(frame["user"]),
            items=items.encode(frame["item"]),
            order=frame["order"].to_numpy(),
            fractions=frame["fraction"].to_numpy() if "fraction" in columns else None,
            user_ids=users.ids(),
            item_ids=items.ids(),
            labels=dict(labels or {}),
            name=name,
            has_times=has_times,
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def frame(self) -> pl.DataFrame:
        """The rows as a table, made at every call.

        Its columns are ``user`` (String), ``item`` (String), ``order`` (Int64), and ``fraction``
        (Float64) where there are fractions.
        """
        columns = {
            "user": self.user_ids.gather(self.users),
            "item": self.item_ids.gather(self.items),
            "order": pl.Series(self.order),
        }
        if self.fractions is not None:
            columns["fraction"] = pl.Series(self.fractions)
        return pl.DataFrame(columns)

    @property
    def num_users(self) -> int:
        """Number of different users."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Number of different items."""
        return len(self.item_ids)

    @cached_property
    def summary(self) -> Summary:
        """The rows, users, items, events per user, repeats and time span."""
        return summarise(
            self.filters[-1][0] if self.filters else AS_READ,
            self.users,
            self.items,
            (self.num_users, self.num_items),
            self.order if self.has_times else None,
        )

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Summaries of the data as read and after each filter."""
        return (*(before for _, before in self.filters), self.summary)

    def size(self) -> str:
        """The numbers of interactions, users and items, for messages."""
        return (
            f"{len(self):,} interactions of {self.num_users:,} users with {self.num_items:,} items"
        )

    def filtered(self, rows: Bools | None, name: str) -> "Interactions":
        """The rows that a filter keeps (N,), with new codes; None keeps all.

        Args:
            rows: whether each row is kept, at least one of them.
            name: the name of the filter.
        """
        filters = (*self.filters, (name, self.summary))
        if rows is None:
            return replace(self, filters=filters)
        users, user_ids = renumbered(self.users[rows], self.user_ids)
        items, item_ids = renumbered(self.items[rows], self.item_ids)
        return replace(
            self,
            users=users,
            items=items,
            order=self.order[rows],
            fractions=None if self.fractions is None else self.fractions[rows],
            user_ids=user_ids,
            item_ids=item_ids,
            filters=filters,
            features={name: column.take(rows) for name, column in self.features.items()},
        )


def k_core(interactions: Interactions, minimum: int = 5, *, report: bool = True) -> Interactions:
    """Drop users and items with fewer than ``minimum`` interactions, until there are none.

    Args:
        interactions: the table; the order of its rows is kept.
        minimum: minimum interactions per user and item; 1 or less keeps all.
        report: warn, with the numbers before and after, if more than half of the items are dropped.

    Raises:
        DataError: nothing is left.
    """
    if minimum <= 1:
        return interactions
    core = core_or_none(interactions, minimum)
    if core is None:
        raise DataError(
            f"{interactions.name}: the {minimum}-core of {interactions.size()} is empty: no set of "
            f"users and items has {minimum} interactions each; give a lower --min-count "
            "(data.min_count in a recipe)"
        )
    if report and (warning := loss_of_items(interactions, core, minimum)):
        logger.warning("%s", warning)
    return core


def core_or_none(interactions: Interactions, minimum: int) -> Interactions | None:
    """The k-core for k of at least 2, or None if nothing is left."""
    counts = (interactions.num_users, interactions.num_items)
    rows = core_rows(interactions.users, interactions.items, counts, minimum)
    if rows is not None and not rows.any():
        return None
    return interactions.filtered(rows, f"{minimum}-core")


def loss_of_items(before: Interactions, core: Interactions | None, minimum: int) -> str | None:
    """A warning with the numbers if a k-core drops more than half of the items, else None."""
    if core is not None and 2 * core.num_items >= before.num_items:
        return None
    return (
        f"{before.name}: {before.size()}; after the {minimum}-core filter: "
        f"{'nothing' if core is None else core.size()}; to keep more items, give a lower "
        "--min-count (data.min_count in a recipe)"
    )
