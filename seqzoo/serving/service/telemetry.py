"""Prometheus metrics, and logs of one JSON object per line without ids of users or items."""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["JsonFormatter", "Metrics", "log_to_stderr"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        more: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "seqzoo_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            **more,
        )
        self.seconds = Histogram(
            "seqzoo_request_seconds",
            "Duration of requests.",
            ["route"],
            buckets=_SECONDS,
            **more,
        )
        self.in_flight = Gauge("seqzoo_requests_in_flight", "Requests being answered.", **more)
        self.refused = Counter(
            "seqzoo_requests_refused", "Requests refused, by reason.", ["reason"], **more
        )
        self.batch = Histogram(
            "seqzoo_batch_size",
            "Requests computed together.",
            ["model"],
            buckets=_SIZES,
            **more,
        )
        self.compute = Histogram(
            "seqzoo_compute_seconds",
            "Duration of the computation of a batch.",
            ["model"],
            buckets=_SECONDS,
            **more,
        )
        self.waiting = Gauge(
            "seqzoo_requests_waiting", "Requests that wait for a model.", ["model"], **more
        )
        self.loaded = Gauge(
            "seqzoo_model_loaded_timestamp_seconds", "When a model was loaded.", ["model"], **more
        )
        self.reloads = Counter(
            "seqzoo_model_reloads", "Models replaced, or not.", ["model", "result"], **more
        )

    def batches_of(self, model: str) -> Callable[[int, float], None]:
        """The function that counts the computations of a model."""
        sizes, seconds = self.batch.labels(model), self.compute.labels(model)

        def observe(size: int, duration: float) -> None:
            sizes.observe(size)
            seconds.observe(duration)

        return observe

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, event, and the fields of the record.

    The traceback of an exception is kept without its message, which may quote ids.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            frames = []
            while trace is not None:
                code = trace.tb_frame.f_code
                frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
                trace = trace.tb_next
            line["frames"] = frames[-10:]
        return json.dumps(line)


def log_to_stderr(level: int) -> None:
    """Write the log of the service to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("seqzoo.serve")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)
