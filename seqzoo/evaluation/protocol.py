"""Protocols: how metrics are measured, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqzoo.config import structure
from seqzoo.data.build import ORDERS
from seqzoo.data.splits import ChosenSplit, choose_split
from seqzoo.errors import ConfigError, UnknownNameError
from seqzoo.plugins import catalogue

__all__ = [
    "Protocol",
    "by_split",
    "get_protocol",
    "split_of",
]


@dataclass
class Protocol:
    """How metrics are measured.

    Attributes:
        name: registered name.
        remove_seen: whether the items of the user's whole history are removed from the candidates.
        split: registered name: ``leave-one-out``, ``time`` or another.
        split_settings: settings of the split that differ from its defaults; ``data.split`` of a
            recipe has precedence.
        order: ``time-row``: by timestamp, equal ones in the order of the rows;
            ``float32-time-row``: by the timestamp rounded to float32.
        candidates: ``all`` items of the model's vocabulary; nothing is sampled.
        ties: ``half``: a tie counts half, as the mean over all orders of the tied items.
        min_count: k of the k-core filter, or None for the one the model was trained with.
        window: maximum number of newest events to read, or None for the model's own maximum.
        metrics: registered names of metrics of ranks.
        list_metrics: registered names of metrics of lists.
        cutoffs: the values of k in metric@k.
    """

    name: str = ""
    remove_seen: bool = False
    split: str = "leave-one-out"
    split_settings: dict[str, Any] = field(default_factory=dict)
    order: str = "time-row"
    candidates: str = "all"
    ties: str = "half"
    min_count: int | None = None
    window: int | None = None
    metrics: list[str] = field(default_factory=lambda: ["hit", "ndcg", "mrr"])
    list_metrics: list[str] = field(
        default_factory=lambda: ["coverage", "novelty", "diversity", "arp", "gini"]
    )
    cutoffs: list[int] = field(default_factory=lambda: [5, 10, 20, 50])

    def __post_init__(self) -> None:
        supported = {"candidates": "all", "ties": "half"}
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
        ConfigError: a plugin registered it with a setting that does not exist, or with a split that
            is not registered.
    """
    spec = catalogue().protocols.get(name)
    protocol = structure(Protocol, {"name": name, **spec.settings}, f"protocol '{name}'")
    try:
        catalogue().splits.get(protocol.split)
    except UnknownNameError as error:
        raise ConfigError(f"protocol '{name}': {error}") from None
    return protocol


def split_of(protocol: Protocol, settings: Mapping[str, Any] | None = None) -> ChosenSplit:
    """The split of a protocol.

    Args:
        protocol: the protocol.
        settings: settings of the split in place of the protocol's, as ``data.split`` has them.

    Raises:
        ConfigError: a setting is unknown or has an invalid value.
    """
    return choose_split(protocol.split, {**protocol.split_settings, **(settings or {})})


def by_split(
    protocols: Sequence[Protocol], settings: Mapping[str, Any] | None = None
) -> list[tuple[ChosenSplit, list[Protocol]]]:
    """Protocols in groups with equal splits; arguments and errors as ``split_of``."""
    groups: list[tuple[ChosenSplit, list[Protocol]]] = []
    for protocol in protocols:
        chosen = split_of(protocol, settings)
        for other, group in groups:
            if other == chosen:
                group.append(protocol)
                break
        else:
            groups.append((chosen, [protocol]))
    return groups
