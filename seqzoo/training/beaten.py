"""After training: does the model beat the baselines on the same test users?"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from seqzoo.evaluation.baselines import fit_baselines
from seqzoo.evaluation.held_out import HeldOut
from seqzoo.evaluation.protocol import Protocol
from seqzoo.evaluation.ranks import gains_by_user, means
from seqzoo.metric_names import metric_title
from seqzoo.model.sequence_model import SequenceModel

__all__ = ["MOST_TARGETS", "measure_baselines"]

logger = logging.getLogger("seqzoo")

MOST_TARGETS = 20_000
"""Largest number of test items that baselines are measured on, evenly spaced if there are more."""


def measure_baselines(
    model: SequenceModel,
    held_out: HeldOut,
    protocols: Sequence[Protocol],
    measured: Mapping[str, float],
    metric: str,
) -> dict[str, dict[str, Any]]:
    """Measure the baselines after a model has been trained, and warn if one is better.

    Args:
        model: the trained model, whose items are those of the data.
        held_out: the test part, read with the model's vocabulary.
        protocols: the protocols of this split; the first decides the warning.
        measured: the model's metrics of all test users under the first protocol.
        metric: the metric that decides.

    Returns:
        For each protocol what ``metrics.json`` stores: ``baselines``, the metrics of each of them;
        and, if only some of the test items were measured, ``baselines_sample``: how many
        ``targets``, ``of`` how many, and the model's ``metrics`` on the same ones.
    """
    fitted = fit_baselines(held_out.data, held_out.chosen, leave_out=[model.architecture])
    if not fitted:
        return {}
    some = held_out.evenly(MOST_TARGETS)
    gains = {name: gains_by_user(each, some, protocols) for name, each in fitted.items()}
    found: dict[str, dict[str, Any]] = {
        protocol.name: {"baselines": {name: means(each[index]) for name, each in gains.items()}}
        for index, protocol in enumerate(protocols)
    }
    own, first = measured, protocols[0].name
    if some is not held_out:
        counts: dict[str, Any] = {"targets": some.targets, "of": held_out.targets}
        for protocol, each in zip(protocols, gains_by_user(model, some, protocols), strict=True):
            found[protocol.name]["baselines_sample"] = {**counts, "metrics": means(each)}
        own = found[first]["baselines_sample"]["metrics"]
    if metric in own:
        _warn(model.architecture, own[metric], found[first]["baselines"], metric, first, some.users)
    return found


def _warn(
    architecture: str,
    own: float,
    baselines: Mapping[str, Mapping[str, float]],
    metric: str,
    protocol: str,
    users: int,
) -> None:
    """Say which baselines the model does not beat, in one line."""
    better = {name: values[metric] for name, values in baselines.items() if values[metric] >= own}
    if better:
        names = sorted(better, key=lambda name: -better[name])
        logger.warning(
            "%s does not beat %s: %s of %.4f on %d test users under %s; train longer, change its "
            "settings (`seqzoo tune %s` searches), or use the baseline: `seqzoo train %s`",
            architecture,
            ", ".join(f"{name} ({better[name]:.4f})" for name in names),
            metric_title(metric),
            own,
            users,
            protocol,
            architecture,
            names[0],
        )
