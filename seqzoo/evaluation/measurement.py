"""What is measured of one model, in an evaluation and in a comparison."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Measurement"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The metrics of one model under one protocol.

    Attributes:
        users: number of users.
        targets: number of held-out items; more than users if the split holds out several of a user.
        items: number of candidates.
        metrics: measured values of ``hit@10`` and so on, over the targets; a held-out item that the
            model does not know counts as a miss. With metrics of lists, if they were requested.
        known_targets: number of ``users`` with a held-out item that the model knows, number of
            these ``targets``, and the ``metrics`` over these targets only.
        stored: the checkpoint's metrics under this protocol; empty if there are none.
        drift: measured minus stored value of every metric that differs by more than the tolerance
            of ``evaluate``.
        seconds: wall time.
        environment: versions, device, threads and dtype.
    """

    users: int
    targets: int
    items: int
    metrics: dict[str, float]
    known_targets: dict[str, Any]
    stored: dict[str, float]
    drift: dict[str, float]
    seconds: float
    environment: dict[str, Any]
