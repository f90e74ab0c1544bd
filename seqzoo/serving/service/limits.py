"""What a request may ask for, and how much may wait."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits on single requests, and on all that the service holds at the same time.

    Attributes:
        body_bytes: bytes of a request's body, as received.
        all_bodies: bytes of all bodies that are being received or wait for an answer, as received;
            the lists of strings that are read from them take several times as much memory.
        histories: histories of a request.
        items: items of a history.
        candidates: candidates or exclusions of a request.
        k: recommendations for each history.
        recommendations: histories times ``k``, of a request and of requests scored together.
        text: characters of an id.
        waiting: requests that wait for a model.
        batch: requests that are scored together; 1 scores each one on its own.
        seconds: for a request to be received, again for it to be answered, and again for the answer
            to be received.
    """

    body_bytes: int = 4 << 20
    all_bodies: int = 256 << 20
    histories: int = 256
    items: int = 10_000
    candidates: int = 100_000
    k: int = 1_000
    recommendations: int = 16_384
    text: int = 512
    waiting: int = 1_024
    batch: int = 64
    seconds: float = 10.0
