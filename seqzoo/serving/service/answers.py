"""Answers of routes, and what OpenAPI says of those that are errors."""

from typing import Any

import msgspec
from starlette.responses import Response

from seqzoo.serving.service.documents import ErrorDocument

__all__ = ["errors_of", "json_answer"]

_MEANINGS = {
    400: "not JSON",
    401: "the token is missing or wrong",
    404: "unknown model or session",
    408: "the request came too slowly",
    413: "the body is too large",
    415: "the body is not declared as JSON",
    422: "a field is invalid, or an item is unknown",
    503: "too many requests wait, or the service is stopping; try again later",
}


def errors_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for OpenAPI."""
    return {
        status: {"model": ErrorDocument, "description": _MEANINGS[status]} for status in statuses
    }


def json_answer(document: Any, status: int = 200) -> Response:
    """A document as the answer; it is not checked again."""
    return Response(msgspec.json.encode(document), status, media_type="application/json")
