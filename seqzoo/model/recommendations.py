"""What a model recommends: items with scores, for one user or for several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seqzoo.notebook import block, number, table

__all__ = [
    "Recommendation",
    "RecommendationLists",
    "Recommendations",
]

_MOST_USERS, _MOST_RANKS = 20, 10
"""Rows and columns of the table for several users."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item: its id, its score and its title, if there is one."""

    item: str
    score: float
    label: str | None = None


class Recommendations(list[Recommendation]):
    """Recommended items, best first: a list that a notebook shows as a table.

    Attributes:
        unknown: ids of the history that the model does not know, which were skipped.
        cold: whether the model knows no item of the history, so that ``on_cold`` chose the answer.
    """

    def __init__(
        self,
        items: Iterable[Recommendation] = (),
        *,
        unknown: Sequence[str] = (),
        cold: bool = False,
    ) -> None:
        super().__init__(items)
        self.unknown = list(unknown)
        self.cold = cold

    def _repr_html_(self) -> str:
        labels = any(each.label is not None for each in self)
        columns = ["rank", "item", *(["label"] if labels else []), "score"]
        rows = [
            [rank, each.item, *([each.label or ""] if labels else []), f"{each.score:.4f}"]
            for rank, each in enumerate(self, start=1)
        ]
        return table(columns, rows, text=len(columns) - 1).text


class RecommendationLists(list[Recommendations]):
    """The recommendations of several users: a list of lists that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        shown = [best[:_MOST_RANKS] for best in self[:_MOST_USERS]]
        ranks = max(map(len, shown), default=0)
        rows = [
            [number(user), *(each.label or each.item for each in best), *[""] * (ranks - len(best))]
            for user, best in enumerate(shown)
        ]
        title = f"recommendations for {number(len(self))} users"
        if len(shown) < len(self):
            title += f", the first {len(shown)}"
        columns = ["user", *map(str, range(1, 1 + ranks))]
        return block(title, table(columns, rows, text=len(columns))).text
