"""Run the service: listen, answer until a signal, and stop without dropping a request."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seqzoo.errors import UsageError
from seqzoo.serving.service.app import Service
from seqzoo.serving.service.errors import ServiceError

__all__ = ["Server", "listen", "protocol_with", "run"]

logger = logging.getLogger("seqzoo.serve")

_BACKLOG = 2048


class Server(uvicorn.Server):
    """Keeps answering for a while after the first signal, so that clients can turn away.

    Until then ``/healthz`` says 503 and every answer closes its connection.
    """

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float) -> None:
        super().__init__(config)
        self._service, self._drain_seconds = service, drain_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: first tell clients to go, then close what is left."""
        self._service.guard.draining = True
        logger.info("stopping", extra={"fields": {"drain_seconds": self._drain_seconds}})
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_seconds
        while loop.time() < until and not self.force_exit:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def protocol_with(seconds: float) -> type[HttpToolsProtocol]:
    """The HTTP protocol that closes connections of slow clients.

    Headers must arrive within some seconds, and an answer must be received within as many.
    """

    class Protocol(HttpToolsProtocol):
        _waiting: asyncio.TimerHandle | None = None
        _writing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            # Without a buffer that may stay full, the protocol hears of all bytes that wait.
            transport.set_write_buffer_limits(high=0)
            self._waiting = self.loop.call_later(seconds, transport.close)

        def on_message_begin(self) -> None:
            if self._waiting is None:
                self._waiting = self.loop.call_later(seconds, self.transport.close)
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._stop_writing()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            # Closing would wait for the client to receive the rest; abort drops it.
            if self._writing is None:
                self._writing = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._stop_writing()
            super().resume_writing()

        def send_400_response(self, msg: str) -> None:
            error = ServiceError(400, "invalid_http", "this is not a valid HTTP request")
            head = (
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                f"content-length: {len(error.body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + error.body)
            self.transport.close()

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _stop_writing(self) -> None:
            if self._writing is not None:
                self._writing.cancel()
                self._writing = None

    return Protocol


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--host {host} --port {port}: {reason}; choose another port, or stop what uses it"
        ) from error
    return found


def run(
    service: Service,
    sockets: list[socket.socket],
    *,
    drain_seconds: float,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    seconds = service.limits.seconds
    config = uvicorn.Config(
        service.app,
        http=protocol_with(seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(5, int(seconds)),
        timeout_graceful_shutdown=int(2 * seconds) + 1,
    )
    # uvicorn raises the signal that stopped it again; a requested stop is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    ready()
    Server(config, service, drain_seconds).run(sockets=sockets)
