"""``evaluate``: measure a model on data under a protocol, beside the figures stored with it."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqzoo.data.interactions import Interactions
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import leave_one_out
from seqzoo.errors import DataError, UsageError
from seqzoo.evaluation.preparation import (
    PreparedData,
    protocol_with_plugin_metrics,
    warn_of_differences,
)
from seqzoo.evaluation.protocol import Protocol
from seqzoo.evaluation.ranks import Gain, rank_targets, summarise
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.notebook import block, line, number, table
from seqzoo.ops.backends import verdicts
from seqzoo.plugins import catalogue
from seqzoo.version import __version__

TOLERANCE = 5e-5
"""Figures that agree to 4 digits do not drift."""


@dataclass(frozen=True)
class Evaluation:
    """Measured figures, the stored ones, and what they were measured on.

    Attributes:
        model: what was evaluated, as the user named it.
        protocol: name of the protocol.
        users: how many users were ranked.
        items: how many candidates there are.
        metrics: measured figures, ``hit@10`` and so on.
        stored: the checkpoint's figures under this protocol; empty where it has none.
        drift: measured minus stored of every figure that differs by more than ``TOLERANCE``.
        data: name and fingerprint, those of the stored figures, and how many interactions had
            items that the model does not know.
        seconds: wall time.
        environment: versions, device, threads and dtype.
    """

    model: str
    protocol: str
    users: int
    items: int
    metrics: dict[str, float]
    stored: dict[str, float]
    drift: dict[str, float]
    data: dict[str, Any]
    seconds: float
    environment: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return asdict(self)

    def _repr_html_(self) -> str:
        rows = [
            [
                key,
                f"{value:.4f}",
                f"{self.stored[key]:.4f}" if key in self.stored else "",
                f"{value - self.stored[key]:+.4f}" if key in self.stored else "",
            ]
            for key, value in self.metrics.items()
        ]
        return block(
            f"{self.model} on {self.data['name']} under {self.protocol}",
            line(f"{number(self.users)} users, {number(self.items)} items"),
            table(["metric", "measured", "stored", "difference"], rows),
        ).text

    def record(self, seed: int) -> dict[str, Any]:
        """The entry of this protocol in ``metrics.json``."""
        return {
            "metrics": self.metrics,
            "data": {key: self.data[key] for key in ("name", "fingerprint")},
            "users": self.users,
            "items": self.items,
            "seed": seed,
            "backend": self.environment["backend"],
            "dtype": self.environment["dtype"],
            "versions": self.environment["versions"],
        }


def environment_of(model: SequenceModel) -> dict[str, Any]:
    """What figures may depend on besides weights and data."""
    return {
        "versions": {
            "seqzoo": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        "device": model.device.type,
        "threads": torch.get_num_threads(),
        "backend": "+".join(sorted({v.backend for v in verdicts(model.device) if v.chosen})),
        "dtype": str(model.embedder.item_table.dtype).removeprefix("torch."),
    }


def check_model(model: object) -> None:
    """See that what is to be measured has been loaded.

    Raises:
        UsageError: it is not a model, a name for example.
    """
    if not isinstance(model, SequenceModel):
        given = repr(model) if isinstance(model, str) else type(model).__name__
        raise UsageError(f"expected a model and got {given}; load it with seqzoo.load(name)")


def drift_of(measured: Mapping[str, float], stored: Mapping[str, float]) -> dict[str, float]:
    """Measured minus stored of every figure that differs by more than ``TOLERANCE``."""
    return {
        key: measured[key] - stored[key]
        for key in measured
        if key in stored and abs(measured[key] - stored[key]) > TOLERANCE
    }


def gains_of(protocol: Protocol) -> dict[str, Gain]:
    """The metric functions that a protocol names."""
    return {name: catalogue().metrics.get(name).load() for name in protocol.metrics}


def evaluate_protocols(
    model: SequenceModel,
    data: SequenceData,
    protocols: Sequence[Protocol],
    *,
    part: str = "test",
    batch_size: int = 128,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[dict[str, float]]:
    """The figures of prepared data under several protocols in one pass over the users.

    Raises:
        DataError: no user has the three interactions that leave-one-out needs.
    """
    split = leave_one_out(data.sequences, part)
    if not len(split):
        raise DataError(
            f"{data.name}: no user has 3 interactions or more, which leave-one-out needs; "
            "give more data"
        )
    figures: list[dict[str, float]] = [{} for _ in protocols]
    for window in sorted({protocol.window or 0 for protocol in protocols}):
        chosen = [i for i, protocol in enumerate(protocols) if (protocol.window or 0) == window]
        ranks = rank_targets(
            model,
            data.sequences,
            split,
            remove_seen=[protocols[index].remove_seen for index in chosen],
            window=window or None,
            batch_size=batch_size,
            advance=advance,
        )
        for index, result in zip(chosen, ranks, strict=True):
            protocol = protocols[index]
            figures[index] = summarise(result, gains_of(protocol), protocol.cutoffs)
    return figures


def evaluate(
    model: SequenceModel,
    data: str | Path | Interactions,
    protocol: str = "loo-full",
    *,
    batch_size: int = 128,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> Evaluation:
    """Measure a model on data and put the figures beside the stored ones.

    Args:
        model: what ``seqzoo.load`` gave.
        data: the name of a data set, a path, or interactions.
        protocol: registered name.
        batch_size: histories scored at once.
        name: what the result calls the model; its architecture where None.
        settings: fields of ``DataConfig`` that differ from the recipe's, column names for example.
        advance: called with the number of users done, for a progress bar.

    Raises:
        UnknownNameError: the protocol or the data set is not registered.
        UsageError: the first argument is no model, ``batch_size`` is below 1, or the settings ask
            for another k-core than the protocol's.
        DataError: the data cannot be read or hold no item of the model.
    """
    (result,) = evaluate_all(
        model,
        data,
        [protocol],
        batch_size=batch_size,
        name=name,
        settings=settings,
        advance=advance,
    )
    return result


def evaluate_all(
    model: SequenceModel,
    data: str | Path | Interactions,
    protocols: Sequence[str],
    *,
    batch_size: int = 128,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Evaluation]:
    """Measure a model under several protocols, with the data read and prepared once.

    Protocols that share filter and order are measured in one pass over the users. Arguments and
    errors are those of ``evaluate``.
    """
    started = time.perf_counter()
    check_model(model)
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected 1 or more")
    reader = PreparedData(data, settings)
    groups: dict[tuple[int, str], list[Protocol]] = {}
    for protocol in map(protocol_with_plugin_metrics, protocols):
        groups.setdefault((reader.minimum(model, protocol), protocol.order), []).append(protocol)
    results = {}
    for group in groups.values():
        prepared = reader.of(model, group[0])
        for protocol in group:
            warn_of_differences(model, prepared, protocol)
        for result in measure(
            model, prepared, group, batch_size=batch_size, name=name, advance=advance
        ):
            results[result.protocol] = replace(result, seconds=time.perf_counter() - started)
    return [results[protocol] for protocol in protocols]


def measure(
    model: SequenceModel,
    prepared: SequenceData,
    protocols: Sequence[Protocol],
    *,
    batch_size: int = 128,
    name: str | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Evaluation]:
    """Measure a model on prepared data under protocols that share filter and order.

    Args:
        model: what is measured.
        prepared: the data as indices of its vocabulary.
        protocols: how; one pass over the users serves all of them.
        batch_size: histories scored at once.
        name: what the results call the model; its architecture where None.
        advance: called with the number of users done.

    Raises:
        DataError: no user has the three interactions that leave-one-out needs.
    """
    started = time.perf_counter()
    measured = evaluate_protocols(
        model, prepared, protocols, batch_size=batch_size, advance=advance
    )
    users = len(leave_one_out(prepared.sequences, "test"))
    environment = environment_of(model)
    results = []
    for protocol, metrics in zip(protocols, measured, strict=True):
        stored = model.metrics.get(protocol.name, {})
        expected: dict[str, float] = dict(stored.get("metrics", {}))
        data = {
            "name": prepared.name,
            "fingerprint": prepared.fingerprint,
            "stored": dict(stored.get("data", {})),
            "unknown_interactions": prepared.dropped,
        }
        results.append(
            Evaluation(
                model=name or model.architecture,
                protocol=protocol.name,
                users=users,
                items=len(model.vocabulary),
                metrics=metrics,
                stored=expected,
                drift=drift_of(metrics, expected),
                data=data,
                seconds=time.perf_counter() - started,
                environment=environment,
            )
        )
    return results
