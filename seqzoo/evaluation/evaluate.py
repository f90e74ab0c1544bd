"""``evaluate``: measure a model on data under a protocol, beside the figures stored with it."""

import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqzoo import __version__
from seqzoo.data.interactions import Interactions, k_core
from seqzoo.data.prepare import DataConfig, load_data
from seqzoo.data.sequences import SequenceData, build_sequences
from seqzoo.data.splits import leave_one_out
from seqzoo.errors import DataError
from seqzoo.evaluation.protocol import Protocol, get_protocol
from seqzoo.evaluation.ranks import Gain, rank_targets, summarise
from seqzoo.model import SequenceModel
from seqzoo.ops.backends import verdicts
from seqzoo.plugins import CORE, catalogue

logger = logging.getLogger("seqzoo")

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
        DataError: the data cannot be read or hold no item of the model.
    """
    started = time.perf_counter()
    chosen = get_protocol(protocol)
    section = {**_section_for(data, model.recipe.get("data", {})), **(settings or {})}
    minimum = chosen.min_count or int(section.get("min_count", DataConfig.min_count))
    interactions = data if isinstance(data, Interactions) else load_data(str(data), section)
    prepared = build_sequences(
        k_core(interactions, minimum), vocabulary=model.vocabulary, order=chosen.order
    )
    chosen.metrics = [*chosen.metrics, *_metrics_of_plugins(chosen)]
    (metrics,) = evaluate_protocols(
        model, prepared, [chosen], batch_size=batch_size, advance=advance
    )
    stored = model.metrics.get(protocol, {})
    expected: dict[str, float] = dict(stored.get("metrics", {}))
    stored_data = stored.get("data", {})
    if stored_data and stored_data.get("fingerprint") != prepared.fingerprint:
        logger.warning(
            "these are not the data of the stored figures (%s): figures may differ",
            stored_data.get("name", "unnamed"),
        )
    trained_on = model.recipe.get("data")
    trained = dict(trained_on).get("order", "time-row") if trained_on else chosen.order
    if trained != chosen.order:
        logger.warning(
            "the model was trained on events in the order '%s' and %s tests in the order '%s': "
            "some of what it is tested on was trained on",
            trained,
            protocol,
            chosen.order,
        )
    if prepared.dropped:
        logger.warning(
            "%d interactions with items the model does not know were left out", prepared.dropped
        )
    drift = {
        key: metrics[key] - expected[key]
        for key in metrics
        if key in expected and abs(metrics[key] - expected[key]) > TOLERANCE
    }
    return Evaluation(
        model=name or model.architecture,
        protocol=protocol,
        users=len(leave_one_out(prepared.sequences, "test")),
        items=len(model.vocabulary),
        metrics=metrics,
        stored=expected,
        drift=drift,
        data={
            "name": prepared.name,
            "fingerprint": prepared.fingerprint,
            "stored": dict(stored_data),
            "unknown_interactions": prepared.dropped,
        },
        seconds=time.perf_counter() - started,
        environment=environment_of(model),
    )


def _metrics_of_plugins(protocol: Protocol) -> list[str]:
    """Metrics that plugins bring and that work, besides those that the protocol names."""
    found = []
    for spec in catalogue().metrics:
        if spec.plugin == CORE or spec.name in protocol.metrics:
            continue
        try:
            values = np.asarray(spec.load()(np.arange(1.0, 4.0), 2), dtype=np.float64)
            works = values.shape == (3,) and bool(np.isfinite(values).all())
            reason = "" if works else "it gives no finite number for each place"
        # A metric that nobody asked for must not keep the others from being measured.
        except Exception as error:
            works, reason = False, f"{type(error).__name__}: {error}"
        if works:
            found.append(spec.name)
        else:
            logger.warning(
                "metric '%s' of plugin '%s' is left out: %s", spec.name, spec.plugin, reason
            )
    return found


def _section_for(data: str | Path | Interactions, trained_on: Mapping[str, Any]) -> dict[str, Any]:
    """What of the recipe's data section holds for the data that are to be measured on."""
    section = dict(trained_on)
    if isinstance(data, Interactions) or str(data) == section.get("source"):
        return section
    # Settings of generated data are of no other data. A file keeps the recipe's columns, as it
    # most often comes from where the training data came; a registered data set has its own.
    section.pop("options", None)
    if str(data) in catalogue().datasets:
        for column in ("user_col", "item_col", "time_col", "label_col"):
            section.pop(column, None)
    return section
