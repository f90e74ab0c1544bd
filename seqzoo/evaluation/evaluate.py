"""``evaluate``: measure a model on data under a protocol and compare with the stored metrics."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from seqzoo.data.splits import ChosenSplit
from seqzoo.errors import UsageError
from seqzoo.evaluation.data_match import data_match
from seqzoo.evaluation.held_out import HeldOut, hold_out
from seqzoo.evaluation.lists import list_metrics
from seqzoo.evaluation.measurement import Measurement
from seqzoo.evaluation.preparation import (
    Data,
    PreparedData,
    protocol_with_plugin_metrics,
    warn_of_differences,
    warn_of_unknown_items,
)
from seqzoo.evaluation.protocol import Protocol
from seqzoo.evaluation.ranks import Floats, gains_of, means, ranks_of
from seqzoo.metric_names import metric_title
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.notebook import block, line, metrics_table, number, table
from seqzoo.ops.backends import verdicts
from seqzoo.version import __version__

__all__ = [
    "TOLERANCE",
    "Evaluation",
    "check_model",
    "drift_of",
    "environment_of",
    "evaluate",
    "evaluate_all",
    "known_targets",
    "measure",
]

TOLERANCE = 5e-5
"""Metrics that agree to 4 digits do not drift."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Measurement):
    """A ``Measurement``, and the data it was made on.

    Attributes:
        model: the name of the model, as the caller gave it.
        protocol: name of the protocol.
        data: name and fingerprints, those of the stored metrics, whether they match (``same``,
            other ``timestamps`` or ``features`` that matter, another ``split``, or ``other`` data),
            the numbers of interactions and of held-out items that the model does not know, what the
            ``split`` holds out, and summaries of the interactions as read and after each filter
            (``stages``).
        lists: what the metrics of lists were computed from, see
            ``seqzoo.evaluation.lists.list_metrics``; empty if they were not requested.
    """

    model: str
    protocol: str
    data: dict[str, Any]
    lists: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {"model": self.model, "protocol": self.protocol, **asdict(self)}

    def _repr_html_(self) -> str:
        rows = [
            [
                metric_title(key),
                f"{value:.4f}",
                f"{self.stored[key]:.4f}" if key in self.stored else "",
                f"{value - self.stored[key]:+.4f}" if key in self.stored else "",
            ]
            for key, value in self.metrics.items()
        ]
        unknown = []
        if self.known_targets["targets"] < self.targets:
            unknown = [
                line(f"{number(self.known_targets['targets'])} held-out items that are known"),
                metrics_table({"these only": self.known_targets["metrics"]}),
            ]
        return block(
            f"{self.model} on {self.data['name']} under {self.protocol}",
            line(
                f"{number(self.users)} users, {number(self.targets)} held-out items, "
                f"{number(self.items)} items"
            ),
            table(["metric", "measured", "stored", "difference"], rows),
            *unknown,
        ).text

    def record(self, seed: int) -> dict[str, Any]:
        """The entry of this protocol in ``metrics.json``: the metrics of ranks.

        The lists of two machines may differ in their last items, which would look like drift.
        """
        split = self.data["split"]
        return {
            "metrics": {key: self.metrics[key] for key in self.known_targets["metrics"]},
            "data": {key: self.data[key] for key in ("name", "fingerprint", "fingerprints")},
            # Leave-one-out has no settings; older checkpoints have no entry for it.
            **({"split": split} if split["settings"] else {}),
            "users": self.users,
            "items": self.items,
            "seed": seed,
            "backend": self.environment["backend"],
            "dtype": self.environment["dtype"],
            "versions": self.environment["versions"],
        }


def environment_of(model: SequenceModel) -> dict[str, Any]:
    """Versions and settings that metrics may depend on, apart from weights and data."""
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
    """Check that a model has been loaded.

    Raises:
        UsageError: it is something else, for example a model's name.
    """
    if not isinstance(model, SequenceModel):
        given = repr(model) if isinstance(model, str) else type(model).__name__
        raise UsageError(f"expected a model and got {given}; load it with seqzoo.load(name)")


def drift_of(measured: Mapping[str, float], stored: Mapping[str, float]) -> dict[str, float]:
    """Measured minus stored value of every metric that differs by more than ``TOLERANCE``."""
    return {
        key: measured[key] - stored[key]
        for key in measured
        if key in stored and abs(measured[key] - stored[key]) > TOLERANCE
    }


def evaluate(
    model: SequenceModel,
    data: Data,
    protocol: str = "loo-full",
    *,
    batch_size: int = 128,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    lists: bool = False,
    advance: Callable[[int], None] = lambda rows: None,
) -> Evaluation:
    """Measure a model on data and compare the metrics with the stored ones.

    Args:
        model: as returned by ``seqzoo.load``.
        data: the name of a data set, a path, interactions, or a table in memory (polars, pandas,
            Arrow, a list of rows).
        protocol: registered name.
        batch_size: maximum number of histories per batch.
        name: name of the model in the result; None for its architecture.
        settings: fields of ``DataConfig`` that differ from the recipe's, for example column names
            or ``{"split": {"share": 0.2}}``.
        lists: also compute the metrics of lists.
        advance: called with the number of finished targets, for a progress bar.

    Raises:
        UnknownNameError: the protocol or the data set is not registered.
        UsageError: the first argument is not a model, ``batch_size`` is below 1, or the settings
            request a different k-core than the protocol's.
        ConfigError: a setting is unknown or has an invalid value.
        DataError: the data cannot be read, have no item of the model, or cannot be split as the
            protocol says, for example because they have no timestamps.
    """
    (result,) = evaluate_all(
        model,
        data,
        [protocol],
        batch_size=batch_size,
        name=name,
        settings=settings,
        lists=lists,
        advance=advance,
    )
    return result


def evaluate_all(
    model: SequenceModel,
    data: Data,
    protocols: Sequence[str],
    *,
    batch_size: int = 128,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    lists: bool = False,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Evaluation]:
    """Measure a model under several protocols, with the data read and prepared once.

    Protocols that share filter, order and split are measured in one pass over the users. Arguments
    and errors are those of ``evaluate``.
    """
    started = time.perf_counter()
    check_model(model)
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected 1 or more")
    reader = PreparedData(data, settings)
    groups: dict[str, list[Protocol]] = {}
    splits: dict[str, ChosenSplit] = {}
    for protocol in map(protocol_with_plugin_metrics, protocols):
        split = reader.split(model, protocol)
        key = f"{reader.minimum(model, protocol)} {protocol.order} {split!r}"
        splits[key] = split
        groups.setdefault(key, []).append(protocol)
    results = {}
    for key, group in groups.items():
        held_out = hold_out(reader.of(model, group[0]), model.vocabulary, splits[key])
        for protocol in group:
            warn_of_differences(model, held_out, protocol)
        warn_of_unknown_items(held_out)
        for result in measure(
            model, held_out, group, lists=lists, batch_size=batch_size, name=name, advance=advance
        ):
            results[result.protocol] = replace(result, seconds=time.perf_counter() - started)
    return [results[protocol] for protocol in protocols]


def measure(
    model: SequenceModel,
    held_out: HeldOut,
    protocols: Sequence[Protocol],
    *,
    lists: bool = False,
    batch_size: int = 128,
    name: str | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Evaluation]:
    """Measure a model on prepared data under protocols that share filter, order and split.

    Args:
        model: the model.
        held_out: the data, read with its vocabulary.
        protocols: the protocols; one pass over the targets serves all of them.
        lists: also compute the metrics of lists.
        batch_size: maximum number of histories per batch.
        name: name of the model in the results; None for its architecture.
        advance: called with the number of finished targets.
    """
    started = time.perf_counter()
    ranks = ranks_of(
        model, held_out, protocols, lists=lists, batch_size=batch_size, advance=advance
    )
    environment = environment_of(model)
    results = []
    for protocol, found in zip(protocols, ranks, strict=True):
        own = gains_of(found, held_out, protocol)
        metrics = means(own)
        about_lists: dict[str, Any] = {}
        if found.lists is not None:
            values, about_lists = list_metrics(found.lists, model, held_out, protocol)
            metrics |= values
        record = model.metrics.get(protocol.name, {})
        stored: dict[str, float] = dict(record.get("metrics", {}))
        data = {
            "name": held_out.data.name,
            "fingerprint": held_out.data.fingerprint,
            "fingerprints": dict(held_out.data.fingerprints),
            "stored": dict(record.get("data", {})),
            "match": data_match(
                record,
                held_out,
                uses_time=model.backbone.uses_time,
                features=model.reads.features,
            ),
            "unknown_interactions": held_out.unknown_interactions,
            "unknown_targets": held_out.unknown_targets,
            "split": held_out.facts,
            "stages": [summary.to_json() for summary in held_out.data.summaries],
        }
        results.append(
            Evaluation(
                model=name or model.architecture,
                protocol=protocol.name,
                users=held_out.users,
                targets=held_out.targets,
                items=len(model.vocabulary),
                metrics=metrics,
                known_targets=known_targets(held_out, own),
                stored=stored,
                drift=drift_of(metrics, stored),
                data=data,
                seconds=time.perf_counter() - started,
                environment=environment,
                lists=about_lists,
            )
        )
    return results


def known_targets(held_out: HeldOut, gains: Mapping[str, Floats]) -> dict[str, Any]:
    """The numbers of users and targets that the model knows, and the metrics over these only."""
    return {
        "users": held_out.known_users,
        "targets": int(held_out.known.sum()),
        "metrics": means(gains, held_out.known),
    }
