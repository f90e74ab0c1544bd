"""Protocols: how metrics are measured, as data."""

from dataclasses import dataclass, field

from seqzoo.config import structure
from seqzoo.data.sequences import ORDERS
from seqzoo.errors import ConfigError
from seqzoo.plugins import catalogue

__all__ = [
    "Protocol",
    "get_protocol",
]


@dataclass
class Protocol:
    """How metrics are measured.

    Attributes:
        name: registered name.
        remove_seen: whether the items of the user's whole history are removed from the candidates.
        split: ``leave-one-out``: the last interaction is for testing, the one before it for
            validation.
        order: ``time-row``: by timestamp, equal ones in the order of the rows;
            ``float32-time-row``: by the timestamp rounded to float32.
        candidates: ``all`` items of the model's vocabulary; nothing is sampled.
        ties: ``half``: a tie counts half, as the mean over all orders of the tied items.
        min_count: k of the k-core filter, or None for the one the model was trained with.
        window: maximum number of newest events to read, or None for the model's own maximum.
        metrics: registered names.
        cutoffs: the values of k in metric@k.
    """

    name: str = ""
    remove_seen: bool = False
    split: str = "leave-one-out"
    order: str = "time-row"
    candidates: str = "all"
    ties: str = "half"
    min_count: int | None = None
    window: int | None = None
    metrics: list[str] = field(default_factory=lambda: ["hit", "ndcg", "mrr"])
    cutoffs: list[int] = field(default_factory=lambda: [5, 10, 20, 50])

    def __post_init__(self) -> None:
        supported = {"split": "leave-one-out", "candidates": "all", "ties": "half"}
        for key, value in supported.items():
            if getattr(self, key) != value:
                raise ConfigError(
                    f"protocol '{self.name}' has {key} '{getattr(self, key)}'; expected '{value}'"
                )
        if self.order not in ORDERS:
            raise ConfigError(
                f"protocol '{self.name}' has order '{self.order}'; expected one of: "
                f"{', '.join(ORDERS)}"
            )


def get_protocol(name: str) -> Protocol:
    """The registered protocol with a name.

    Raises:
        UnknownNameError: no protocol has the name.
        ConfigError: a plugin registered it with a setting that does not exist.
    """
    spec = catalogue().protocols.get(name)
    return structure(Protocol, {"name": name, **spec.settings}, f"protocol '{name}'")
