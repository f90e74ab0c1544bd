"""A protocol: how metrics are measured, as data."""

from dataclasses import dataclass, field

from seqzoo.config import structure
from seqzoo.data.sequences import ORDERS
from seqzoo.errors import ConfigError
from seqzoo.plugins import catalogue


@dataclass
class Protocol:
    """How metrics are measured.

    Attributes:
        name: registered name.
        remove_seen: whether the items of the user's whole history are excluded from the candidates.
        split: ``leave-one-out``: the last interaction is the test item, the one before it the
            validation item.
        order: ``time-row``: by int64 timestamp, ties in the order of the file;
            ``float32-time-row``: by the timestamp rounded to float32.
        candidates: ``all`` items of the model's vocabulary; they are never sampled.
        ties: ``half``: metrics are averaged over the ranks that items with the target's score
            share.
        min_count: k of the k-core filter, or None for that of the training data.
        window: number of newest events to read, or None for the model's maximum.
        metrics: registered names.
        cutoffs: the k of metric@k.
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
        supported = {
            "split": "leave-one-out",
            "candidates": "all",
            "ties": "half",
        }
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
    """The registered protocol of a name.

    Raises:
        UnknownNameError: no protocol has the name.
        ConfigError: a plugin registered it with a setting that does not exist.
    """
    spec = catalogue().protocols.get(name)
    return structure(Protocol, {"name": name, **spec.settings}, f"protocol '{name}'")
