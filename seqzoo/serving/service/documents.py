"""The documents of requests and answers, from which OpenAPI is made."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from seqzoo.serving.service.limits import Limits

__all__ = [
    "FARTHEST",
    "Answer",
    "Documents",
    "ErrorDetail",
    "ErrorDocument",
    "Forgotten",
    "Health",
    "Item",
    "Items",
    "NamedItem",
    "Observed",
    "OnCold",
    "OnUnknown",
    "Reasons",
    "Recommended",
    "ServedDocument",
    "SessionAnswer",
    "Similar",
]

FARTHEST = 2**62

OnCold = Literal["error", "empty", "popular"]
OnUnknown = Literal["skip", "error"]


class _Closed(BaseModel):
    """A request: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Item(BaseModel):
    """A recommended item."""

    item: str
    score: float
    label: str | None


class Answer(BaseModel):
    """The recommendations after one history."""

    history: list[str]
    unknown: list[str]
    cold: bool
    recommendations: list[Item]


class Recommended(BaseModel):
    """The recommendations after a history; ``results`` for ``histories``."""

    model: str
    history: list[str] | None = None
    unknown: list[str] | None = None
    cold: bool | None = None
    recommendations: list[Item] | None = None
    results: list[Answer] | None = None


class Similar(BaseModel):
    """The items most similar to an item."""

    model: str
    item: str
    similar: list[Item]


class NamedItem(BaseModel):
    """An item and its title."""

    item: str
    label: str | None


class Items(BaseModel):
    """Items that were found, and ids that the model does not know."""

    model: str
    items: list[NamedItem]
    unknown: list[str]


class Reasons(BaseModel):
    """Why an item is recommended after a history.

    ``rank`` is among the items that are not in the history; ``nearest`` are the most similar items
    of the history, null for a model without a measure of similarity.
    """

    model: str
    item: str
    label: str | None
    score: float | None
    rank: int | None
    nearest: list[Item] | None


class Observed(BaseModel):
    """An event that is kept."""

    model: str
    user: str
    events: int


class SessionAnswer(BaseModel):
    """The recommendations after the events of a user."""

    model: str
    user: str
    cold: bool
    recommendations: list[Item]


class Forgotten(BaseModel):
    """How many events were removed."""

    user: str
    events: int


class ServedDocument(BaseModel):
    """A model of the service."""

    name: str
    architecture: str
    items: int
    parameters: int
    sessions: bool
    uses_time: bool
    loaded: float
    examples: list[str]


class Health(BaseModel):
    """Whether the service answers requests."""

    status: str


class ErrorDetail(BaseModel):
    """What is wrong."""

    type: str
    message: str


class ErrorDocument(BaseModel):
    """An answer other than 200."""

    error: ErrorDetail


class Documents:
    """The documents of requests, within limits.

    Attributes:
        recommend: the request document of ``POST /v1/recommend``.
        similar: the request document of ``POST /v1/similar``.
        items: the request document of ``POST /v1/items``.
        reasons: the request document of ``POST /v1/reasons``.
        event: the request document of ``POST /v1/sessions/{user}/events``.
    """

    def __init__(self, limits: Limits) -> None:
        types = _Types(limits)
        self.recommend = _recommend(types)
        self.similar = _similar(types)
        self.items = _items(types)
        self.reasons = _reasons(types)
        self.event = _event(types)


class _Types:
    """Types of fields that several documents have, within limits."""

    def __init__(self, limits: Limits) -> None:
        identifier = Annotated[str, Field(min_length=1, max_length=limits.text)]
        history = Annotated[list[identifier], Field(max_length=limits.items)]
        second = Annotated[int, Field(ge=-FARTHEST, le=FARTHEST)]
        times = Annotated[list[second], Field(max_length=limits.items)]
        self.limits = limits
        self.model: Any = (
            Annotated[str | None, Field(max_length=limits.text)],
            Field(None, description="Name of a model; the first one by default."),
        )
        self.identifier: Any = identifier
        self.second: Any = second
        self.history: Any = history
        self.histories: Any = Annotated[
            list[history], Field(min_length=1, max_length=limits.histories)
        ]
        self.times: Any = times | list[times]
        self.choice: Any = Annotated[list[identifier], Field(max_length=limits.candidates)]
        self.k: Any = (Annotated[int, Field(ge=1, le=limits.k)], 10)


def _recommend(types: _Types) -> Any:
    return create_model(
        "RecommendRequest",
        __base__=_Closed,
        __doc__="Ask for recommendations after one history, or after several.",
        model=types.model,
        history=(
            types.history | None,
            Field(None, description="Item ids of one user, oldest first."),
        ),
        histories=(
            types.histories | None,
            Field(
                None,
                description="Item ids of several users; their number times k is at most "
                f"{types.limits.recommendations:,}.",
            ),
        ),
        timestamps=(
            types.times | None,
            Field(None, description="Unix seconds, in the form of the history or histories."),
        ),
        at=(
            types.second | None,
            Field(
                None,
                description="Unix seconds of the request, for models that read them; the time "
                "of the newest event by default.",
            ),
        ),
        k=(
            types.k[0],
            Field(
                10,
                description="Recommendations for each history; times the number of histories, at "
                f"most {types.limits.recommendations:,}.",
            ),
        ),
        exclude_seen=(bool, Field(True, description="Leave out the items of the history.")),
        candidates=(types.choice | None, Field(None, description="Item ids to choose from.")),
        exclude=(types.choice, Field([], description="Item ids that are not recommended.")),
        on_unknown=(OnUnknown, "skip"),
        on_cold=(OnCold, "error"),
    )


def _similar(types: _Types) -> Any:
    return create_model(
        "SimilarRequest",
        __base__=_Closed,
        __doc__="Ask for the items most similar to an item.",
        model=types.model,
        item=(types.identifier, ...),
        k=types.k,
    )


def _items(types: _Types) -> Any:
    return create_model(
        "ItemsRequest",
        __base__=_Closed,
        __doc__="Search items by title, or look items up by their ids.",
        model=types.model,
        query=(
            Annotated[str, Field(max_length=types.limits.text)] | None,
            Field(None, description="Words of a title, or an id; empty for popular items."),
        ),
        items=(types.history | None, Field(None, description="Ids whose titles are wanted.")),
        k=types.k,
    )


def _reasons(types: _Types) -> Any:
    return create_model(
        "ReasonsRequest",
        __base__=_Closed,
        __doc__="Ask why an item is recommended after a history.",
        model=types.model,
        history=(types.history, Field(description="Item ids of one user, oldest first.")),
        item=(types.identifier, ...),
        k=(Annotated[int, Field(ge=1, le=types.limits.k)], 3),
    )


def _event(types: _Types) -> Any:
    return create_model(
        "EventRequest",
        __base__=_Closed,
        __doc__="One more event of a user.",
        model=types.model,
        item=(types.identifier, ...),
        timestamp=(types.second | None, Field(None, description="Unix seconds.")),
    )
