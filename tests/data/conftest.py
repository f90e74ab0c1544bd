import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer

import polars as pl
import pytest

from seqzoo.data.interactions import Interactions


def table(rows: list[tuple[str, str, int]], **options: object) -> Interactions:
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "order": pl.Int64}, orient="row"
    )
    return Interactions.from_frame(frame, **options)  # type: ignore[arg-type]


@pytest.fixture
def interactions() -> Callable[..., Interactions]:
    return table


@pytest.fixture
def serve() -> Iterator[Callable[..., ThreadingHTTPServer]]:
    """A function that starts a server with a handler, which may append to its ``requests``."""
    started = []

    def serve(handler: Callable[..., object]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
        server.requests = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return server

    yield serve
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()
