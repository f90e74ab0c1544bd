"""What a request may ask for, and how much may wait."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of the service, which bound its memory for any requests.

    Attributes:
        body_bytes: bytes of a request's body.
        all_bodies: bytes of all bodies that are being received or wait for an answer.
        histories: histories of a request.
        items: items of a history.
        candidates: candidates or exclusions of a request.
        k: recommendations for each history.
        text: characters of an id.
        waiting: requests that wait for a model.
        batch: requests that are scored together; 1 scores each one on its own.
        seconds: for a request to be received, and again for it to be answered.
    """

    body_bytes: int = 4 << 20
    all_bodies: int = 256 << 20
    histories: int = 256
    items: int = 10_000
    candidates: int = 100_000
    k: int = 1_000
    text: int = 512
    waiting: int = 1_024
    batch: int = 64
    seconds: float = 10.0
