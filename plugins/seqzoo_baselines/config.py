"""Settings of the baselines."""

from dataclasses import dataclass

from seqzoo.parts.config import check_range

__all__ = [
    "ItemKnnConfig",
    "MarkovConfig",
    "NewestItemsConfig",
    "PopularConfig",
    "RecentPopularConfig",
]


@dataclass
class NewestItemsConfig:
    """Settings of the embedder ``item-index`` and the backbone ``newest-items``.

    Attributes:
        max_length: number of newest events that a user vector holds.
    """

    max_length: int = 1

    def __post_init__(self) -> None:
        check_range("max_length", self.max_length, 1)


@dataclass
class PopularConfig:
    """Settings of the head ``popular``, which has none."""


@dataclass
class RecentPopularConfig:
    """Settings of the head ``recent-popular``.

    Attributes:
        days: length of the period that counts, in days before the newest training event.
    """

    days: float = 30.0

    def __post_init__(self) -> None:
        if self.days <= 0:
            check_range("days", self.days, 1)


@dataclass
class ItemKnnConfig:
    """Settings of the head ``item-knn``.

    Attributes:
        neighbours: number of most similar items kept for each item.
        shrinkage: added to the denominator of the cosine, so that items which few users share are
            less similar.
        decay: weight of an event relative to the next newer one.
    """

    neighbours: int = 100
    shrinkage: float = 10.0
    decay: float = 0.8

    def __post_init__(self) -> None:
        check_range("neighbours", self.neighbours, 1)
        check_range("shrinkage", self.shrinkage, 0.0)
        check_range("decay", self.decay, 0.0, 1.0, closed=True)


@dataclass
class MarkovConfig:
    """Settings of the head ``markov``.

    Attributes:
        neighbours: number of most frequent next items kept for each item.
        backoff: number of imagined transitions from every item that follow popularity.
    """

    neighbours: int = 100
    backoff: float = 1.0

    def __post_init__(self) -> None:
        check_range("neighbours", self.neighbours, 1)
        check_range("backoff", self.backoff, 1e-6)
