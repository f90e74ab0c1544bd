"""Errors of the service, as HTTP shows them: ``{"error": {"type", "message"}}``."""

import json
from collections.abc import Mapping

from seqzoo.errors import NotFiniteError, SeqzooError, StoreError, UnknownItemError, one_line

__all__ = ["RETRY_SECONDS", "ServiceError", "as_service_error", "overloaded"]

RETRY_SECONDS = 1
_LONGEST = 500


class ServiceError(SeqzooError):
    """An answer other than 200.

    Attributes:
        status: the HTTP status.
        kind: the type of the error, for programs.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind

    @property
    def body(self) -> bytes:
        """The JSON document of the error."""
        message = one_line(str(self), _LONGEST)
        return json.dumps({"error": {"type": self.kind, "message": message}}).encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers in addition to the type of the content."""
        if self.status == 503:
            return {"retry-after": str(RETRY_SECONDS)}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}


def overloaded(message: str) -> ServiceError:
    """The error for a request that must come again later."""
    return ServiceError(503, "overloaded", message)


def as_service_error(error: BaseException) -> ServiceError:
    """The error of HTTP for an error of seqzoo; anything else is an internal error."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, StoreError):
        return ServiceError(503, "store_unavailable", "the store of sessions cannot be used")
    if isinstance(error, UnknownItemError):
        return ServiceError(422, "unknown_item", str(error))
    if isinstance(error, SeqzooError) and not isinstance(error, NotFiniteError):
        return ServiceError(422, "invalid_request", str(error))
    return ServiceError(500, "internal", "the service failed; its log has more")
