"""Recommendations for a stream of users, one after another."""

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from seqzoo.errors import UsageError
from seqzoo.model.histories import History
from seqzoo.validation import whole_number

if TYPE_CHECKING:
    from seqzoo.model.recommendations import Recommendations
    from seqzoo.model.recommending import RecommendingModel

__all__ = ["UserT", "recommend_stream"]

UserT = TypeVar("UserT", bound=Hashable)

_BATCHES = 8


def recommend_stream(
    model: "RecommendingModel",
    users: Iterable[tuple[UserT, History] | tuple[UserT, History, Sequence[int]]],
    k: int,
    batch_size: int,
    options: dict[str, Any],
) -> Iterator[tuple[UserT, "Recommendations"]]:
    """The users with their recommendations, in their order; see ``SequenceModel``."""
    whole_number("batch_size", batch_size, 1)
    several = iter(users)
    # Several batches at once, so that histories of similar length come together.
    while some := list(itertools.islice(several, _BATCHES * batch_size)):
        lengths = {len(each) if isinstance(each, tuple | list) else 0 for each in some}
        if lengths not in ({2}, {3}):
            raise UsageError(
                "a user is not of the form (user, history), or (user, history, timestamps) for all"
            )
        timestamps = [each[2] for each in some] if lengths == {3} else None  # type: ignore[misc]
        answers = model.recommend_many(
            [each[1] for each in some], k, timestamps=timestamps, batch_size=batch_size, **options
        )
        yield from zip((each[0] for each in some), answers, strict=True)
