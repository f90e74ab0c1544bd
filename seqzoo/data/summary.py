"""A summary of interactions: how many there are, how they are spread, and over what time."""

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.counting import distinct_pairs, frequencies

__all__ = ["AS_READ", "TITLES", "Int32s", "Int64s", "Summary", "day_and_time", "summarise"]

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

AS_READ = "as read"
"""The stage of data that no filter has changed."""


@dataclass(frozen=True)
class Summary:
    """Interactions at one stage of their preparation, in a few numbers.

    Attributes:
        stage: ``as read``, or the filter that was applied last, such as ``5-core``.
        rows: number of interactions.
        users: number of users.
        items: number of items.
        events_per_user: mean, minimum, median, 90th percentile (``p90``) and maximum of the number
            of interactions of a user; empty without rows.
        repeats: the share of interactions with an item that the user has interacted with before.
        first: unix seconds of the oldest interaction; None if only the order is known.
        last: unix seconds of the newest interaction; None if only the order is known.
    """

    stage: str
    rows: int
    users: int
    items: int
    events_per_user: dict[str, float]
    repeats: float
    first: int | None
    last: int | None

    def to_json(self) -> dict[str, Any]:
        """The summary as plain values."""
        return asdict(self)

    def cells(self) -> list[str]:
        """The values as text, in the order of ``TITLES``."""
        spread = self.events_per_user
        return [
            f"{self.rows:,}",
            f"{self.users:,}",
            f"{self.items:,}",
            *(f"{spread[key]:,.1f}" if spread else "" for key in ("mean", "median", "p90")),
            f"{spread['max']:,.0f}" if spread else "",
            f"{self.repeats:.1%}",
            _date(self.first),
            _date(self.last),
        ]

    def text(self) -> str:
        """The summary in one line, for messages."""
        parts = [f"{self.rows:,} interactions of {self.users:,} users with {self.items:,} items"]
        if spread := self.events_per_user:
            parts.append(
                f"{spread['mean']:,.1f} events per user (median {spread['median']:,.0f}, "
                f"{spread['min']:,.0f} to {spread['max']:,.0f})"
            )
            parts.append(f"{self.repeats:.1%} repeats")
        if self.first is not None:
            parts.append(f"{_date(self.first)} to {_date(self.last)}")
        return ", ".join(parts)


TITLES = (
    "rows",
    "users",
    "items",
    "events/user",
    "median",
    "p90",
    "max",
    "repeats",
    "first",
    "last",
)
"""The columns of a table of summaries, after the stage."""


def summarise(
    stage: str,
    users: Int32s,
    items: Int32s,
    counts: tuple[int, int],
    order: Int64s | None,
) -> Summary:
    """Summarise N interactions.

    Args:
        stage: see :class:`Summary`.
        users: the code of the user of each row (N,).
        items: the code of the item of each row (N,).
        counts: the numbers U and V of users and items; every code occurs.
        order: unix seconds of each row (N,), or None if only the order is known.
    """
    rows = len(users)
    spread: dict[str, float] = {}
    if rows:
        lengths = frequencies(users, counts[0])
        spread = {
            "mean": rows / counts[0],
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "p90": float(np.quantile(lengths, 0.9)),
            "max": int(lengths.max()),
        }
    return Summary(
        stage=stage,
        rows=rows,
        users=counts[0],
        items=counts[1],
        events_per_user=spread,
        repeats=(rows - distinct_pairs(users, items, counts[1])) / rows if rows else 0.0,
        first=int(order.min()) if rows and order is not None else None,
        last=int(order.max()) if rows and order is not None else None,
    )


def day_and_time(seconds: int) -> str:
    """A moment in UTC, without its time if that is midnight."""
    day = _date(seconds)
    if day == str(seconds) or seconds % 86_400 == 0:
        return day
    return f"{day} {datetime.fromtimestamp(seconds, timezone.utc):%H:%M:%S} UTC"


def _date(seconds: int | None) -> str:
    """The day of a moment in UTC; the seconds themselves where there is no such day."""
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
