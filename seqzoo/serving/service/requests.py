"""What a model is asked for, and the answers for many requests at once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seqzoo.errors import SeqzooError, UnknownItemError, UsageError
from seqzoo.model.choice import Exclusions, read_choice
from seqzoo.model.context import read_context
from seqzoo.model.histories import encode_histories, refuse_unknown
from seqzoo.model.recommendations import Recommendations
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.validation import read_times, whole_number

__all__ = [
    "EventRequest",
    "ForgetRequest",
    "RecommendRequest",
    "SessionRequest",
    "SimilarRequest",
    "recommend",
    "size_of",
]

_FEW = 10_000
"""Exclusions, counted for each history, up to which a request is scored with others.

More of them take much memory and time for each history, so they are read once for all histories.
"""


@dataclass(frozen=True)
class RecommendRequest:
    """Recommendations after one history or several, for the time ``at`` of the request."""

    histories: Sequence[Sequence[str]]
    timestamps: Sequence[Sequence[int]] | None = None
    at: int | None = None
    k: int = 10
    exclude_seen: bool = True
    candidates: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    on_unknown: str = "skip"
    on_cold: str = "error"


@dataclass(frozen=True)
class SimilarRequest:
    """Items near an item."""

    item: str
    k: int = 10


@dataclass(frozen=True)
class EventRequest:
    """One more event of a user."""

    user: str
    item: str
    timestamp: int | None = None


@dataclass(frozen=True)
class SessionRequest:
    """Recommendations after the events of a user, for the time ``at`` of the request."""

    user: str
    at: int | None = None
    k: int = 10
    exclude_seen: bool = True
    on_cold: str = "error"


@dataclass(frozen=True)
class ForgetRequest:
    """All that is kept of a user is removed."""

    user: str


@dataclass
class _Group:
    """Requests that are scored in one call."""

    positions: list[int] = field(default_factory=list)
    requests: list[RecommendRequest] = field(default_factory=list)


def size_of(request: Any) -> tuple[int, int]:
    """The number of histories of a request of any kind, and of recommendations for each."""
    histories = len(request.histories) if isinstance(request, RecommendRequest) else 1
    return histories, getattr(request, "k", 1)


def recommend(model: SequenceModel, requests: Sequence[RecommendRequest]) -> list[Any]:
    """The answers to requests, in their order: a list of recommendations, or an exception."""
    answers: list[Any] = [None] * len(requests)
    groups: dict[Hashable, _Group] = {}
    for position, request in enumerate(requests):
        try:
            _check(model, request)
        except SeqzooError as error:
            answers[position] = error
            continue
        key = (
            request.exclude_seen,
            request.candidates,
            _many(request),
            request.timestamps is None,
            request.at is None,
            request.on_cold == "popular",
        )
        group = groups.setdefault(key, _Group())
        group.positions.append(position)
        group.requests.append(request)
    for group in groups.values():
        for position, answer in zip(group.positions, _together(model, group.requests), strict=True):
            answers[position] = answer
    return answers


def _check(model: SequenceModel, request: RecommendRequest) -> None:
    """Check what concerns a single request, so that it alone is refused."""
    if model.reads.of_events:
        raise UsageError(
            f"'{model.architecture}' reads features of events or who the user is, which requests "
            "do not give; use model.recommend_many in Python"
        )
    vocabulary = model.vocabulary
    whole_number("k", request.k, 1, len(vocabulary), ", the number of items of the model")
    if request.timestamps is not None:
        for history, times in zip(request.histories, request.timestamps, strict=True):
            read_times(times, len(history))
    for history in request.histories:
        known, unknown = vocabulary.encode(history)
        if unknown and request.on_unknown == "error":
            refuse_unknown(vocabulary, "history", unknown)
        if not len(known) and request.on_cold == "error":
            raise UnknownItemError(
                "the model knows no item of the history; on_cold 'popular' or 'empty' is an answer "
                "for that"
            )
    if request.candidates is not None or request.exclude:
        users = len(request.histories)
        read_choice(vocabulary, users, 1, request.candidates, request.exclude, request.on_unknown)
    if request.on_cold == "popular":
        _ = vocabulary.most_popular


def _together(model: SequenceModel, requests: Sequence[RecommendRequest]) -> list[Any]:
    """The answers to requests that differ only in histories, times, few exclusions and ``k``."""
    first = requests[0]
    histories = [history for request in requests for history in request.histories]
    timestamps = None
    if first.timestamps is not None:
        timestamps = [times for request in requests for times in request.timestamps or ()]
    at = None
    if first.at is not None:
        at = [request.at or 0 for request in requests for _ in request.histories]
    exclude: Exclusions | None = _many(first)
    if exclude is None and any(request.exclude for request in requests):
        exclude = [request.exclude for request in requests for _ in request.histories]
    on_cold = "popular" if first.on_cold == "popular" else "empty"
    try:
        users = encode_histories(model.vocabulary, histories, timestamps, "skip", "empty")
        context = read_context(model, histories, timestamps, at, None, None)
        users = replace(users, context=context)
        choice = read_choice(
            model.vocabulary,
            len(users),
            max(request.k for request in requests),
            first.candidates,
            exclude,
            "skip",
        )
        found = model.recommend_encoded(users, choice, first.exclude_seen, on_cold, 256)
    # The parts of a model are third-party code: what fails for one request must not fail others.
    except Exception as error:
        if len(requests) == 1:
            return [error]
        return [_together(model, [request])[0] for request in requests]
    answers, start = [], 0
    for request in requests:
        stop = start + len(request.histories)
        best = [found[user][: request.k] for user in range(start, stop)]
        answers.append(
            [
                Recommendations(items, unknown=users.unknown[user], cold=found[user].cold)
                for user, items in zip(range(start, stop), best, strict=True)
            ]
        )
        start = stop
    return answers


def _many(request: RecommendRequest) -> tuple[str, ...] | None:
    """The exclusions of a request if they are many; None for few."""
    many = len(request.exclude) * len(request.histories) > _FEW
    return request.exclude if many else None
