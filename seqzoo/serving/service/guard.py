"""Middleware of every route: token, limits of bodies, time-outs, metrics, logs, errors."""

import asyncio
import hmac
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqzoo.serving.service.errors import ServiceError, as_service_error, overloaded
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.paths import shown
from seqzoo.serving.service.telemetry import Metrics

__all__ = ["Guard", "route_of"]

logger = logging.getLogger("seqzoo.serve")

_PROTECTED = ("/v1", "/metrics")
_WITH_BODY = ("POST", "PUT", "PATCH")


class Guard:
    """Middleware of the service.

    Attributes:
        draining: whether the service is stopping: connections close after their answer.
        in_flight: requests that are being answered.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, metrics: Metrics, token: str | None = None
    ) -> None:
        self.app, self._limits, self._metrics = app, limits, metrics
        self._token = None if token is None else f"Bearer {token}".encode()
        self._held = 0
        self.draining = False
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other events, such as the start of the service, are passed on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        self.in_flight += 1
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.draining:
                    message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        try:
            await self._guarded(scope, receive, counted)
        except ServiceError as error:
            self._metrics.refused.labels(error.kind).inc()
            if not status:
                await _refuse(counted, error)
        except Exception as error:
            logger.error("failed", exc_info=error, extra={"fields": {"route": route_of(scope)}})
            if not status:
                await _refuse(counted, as_service_error(error))
        finally:
            self.in_flight -= 1
            self._note(scope, status, time.perf_counter() - started)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        headers = dict(scope["headers"])
        if self._token is not None and path.startswith(_PROTECTED):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._token):
                raise ServiceError(
                    401, "unauthorized", "send the service's token: Authorization: Bearer TOKEN"
                )
        if scope["method"] not in _WITH_BODY:
            await self.app(scope, receive, send)
            return
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise ServiceError(
                415, "unsupported_media_type", "send JSON, with content-type: application/json"
            )
        body = await self._body(headers, receive)
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        self._held += len(body)
        try:
            await self.app(scope, replay, send)
        finally:
            self._held -= len(body)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, if it is short and comes in time."""
        most = self._limits.body_bytes
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > most:
            raise _too_large(most)
        self._check_held(int(length))
        try:
            return await asyncio.wait_for(self._read(receive, most), self._limits.seconds)
        except asyncio.TimeoutError:
            seconds = self._limits.seconds
            raise ServiceError(
                408, "timeout", f"the request was not received within {seconds:g} s"
            ) from None

    async def _read(self, receive: Receive, most: int) -> bytes:
        parts, size = [], 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ServiceError(400, "disconnected", "the client went away")
                part = message.get("body", b"")
                self._check_held(len(part))
                parts.append(part)
                size += len(part)
                self._held += len(part)
                if size > most:
                    raise _too_large(most)
                if not message.get("more_body", False):
                    return b"".join(parts)
        finally:
            self._held -= size

    def _check_held(self, more: int) -> None:
        if self._held + more > self._limits.all_bodies:
            raise overloaded("too many large requests at the same time; try again later")

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if logger.isEnabledFor(logging.INFO):
            fields = {
                "method": method,
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 2),
                **scope.get("state", {}).get("seqzoo", {}),
            }
            logger.info("request", extra={"fields": fields})


_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")


def route_of(scope: Scope) -> str:
    """The route of a request with its parameters unfilled, for example ``/v1/sessions/{user}``."""
    path: Any = getattr(scope.get("route"), "path", None)
    return shown(path) if isinstance(path, str) else "other"


def _too_large(most: int) -> ServiceError:
    return ServiceError(
        413, "too_large", f"the body of a request has at most {most:,} bytes; send less at once"
    )


async def _refuse(send: Send, error: ServiceError) -> None:
    body = error.body
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **error.headers,
    }
    # The rest of a body that was not read would be taken for the next request.
    if error.status in (401, 408, 413, 415):
        headers["connection"] = "close"
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
