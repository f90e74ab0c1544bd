"""``compare``: several models on the same users, and the significance of their differences."""

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqzoo.data.sequences import SequenceData
from seqzoo.errors import DataError, UnknownNameError, UsageError, nearest
from seqzoo.evaluation.baselines import baseline_names, fit_baselines
from seqzoo.evaluation.comparison import Compared, Comparison, Pair
from seqzoo.evaluation.data_match import data_match
from seqzoo.evaluation.evaluate import check_model, drift_of, environment_of, known_targets
from seqzoo.evaluation.held_out import HeldOut, hold_out
from seqzoo.evaluation.lists import list_metrics
from seqzoo.evaluation.preparation import (
    Data,
    PreparedData,
    protocol_with_plugin_metrics,
    warn_of_differences,
    warn_of_unknown_items,
)
from seqzoo.evaluation.protocol import Protocol
from seqzoo.evaluation.ranks import Floats, Ranks, gains_of, means, ranks_of
from seqzoo.evaluation.session_size import session_bytes
from seqzoo.evaluation.significance import bootstrap_means, holm, interval, randomisation_test
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.weights import distinct_state

__all__ = [
    "check_metric",
    "compare",
]

logger = logging.getLogger("seqzoo")


@dataclass(frozen=True)
class _Run:
    """A model, its name in the result, and what it is measured on, as the model reads it."""

    name: str
    model: SequenceModel
    held_out: HeldOut


@dataclass(frozen=True)
class _Measured:
    """What a model gains with each target [T] by metric, its ranks, its speed and its seconds."""

    gains: dict[str, Floats]
    ranks: Ranks
    targets_per_second: float
    seconds: float


def compare(
    models: Mapping[str, SequenceModel],
    data: Data,
    protocol: str = "loo-full",
    *,
    metric: str = "ndcg@10",
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 0,
    batch_size: int = 128,
    settings: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    lists: bool = False,
    baselines: bool = False,
    advance: Callable[[int], None] = lambda users: None,
) -> Comparison:
    """Measure models on the same users, with intervals and p-values of their differences.

    A held-out item that a model does not know counts as a miss of that model. If the protocol holds
    out several items of a user, users are still drawn as a whole, with all of their targets.

    Args:
        models: two or more models by their names in the result; one is enough with ``baselines``.
        data: the name of a data set, a path, interactions, or a table in memory (polars, pandas,
            Arrow, a list of rows).
        protocol: registered name.
        metric: the metric to compare, at one of the protocol's cutoffs.
        resamples: number of bootstrap samples for the intervals.
        permutations: number of random sign changes for the p-values.
        seed: random seed of both.
        batch_size: maximum number of histories per batch.
        settings: fields of ``DataConfig`` that differ from the recipes', for example ``min_count``.
        sizes: bytes of each model's weights file by name; by default the bytes of its tensors.
        lists: also compute the metrics of lists.
        baselines: compare with the registered baselines too, fitted on the training part of the
            same data.
        advance: called with the number of finished targets, for a progress bar.

    Raises:
        UnknownNameError: the protocol, the metric or the data set does not exist.
        UsageError: there are fewer than two models, a number is too small, a model has the name of
            a baseline, or the recipes of the models filter, read or split the data differently.
        DataError: the data cannot be read, have no item of a model, or cannot be split as the
            protocol says.
    """
    started = time.perf_counter()
    if not isinstance(models, Mapping):
        raise UsageError(
            f"expected models by name and got {type(models).__name__}; give a dict: "
            "{'mine': seqzoo.load('./mine'), …}"
        )
    for model in models.values():
        check_model(model)
    number = len(models) + (len(baseline_names()) if baselines and models else 0)
    _check_numbers(number, resamples, permutations, seed, batch_size)
    chosen = protocol_with_plugin_metrics(protocol)
    check_metric(metric, chosen)
    runs = _prepare(models, PreparedData(data, settings), chosen)
    if baselines:
        runs += _baselines(runs)
    measured = [_measure(run, chosen, batch_size, advance, lists=lists) for run in runs]
    keys = list(measured[0].gains)
    first = runs[0].held_out
    table = _by_user(
        np.stack([each.gains[key] for each in measured for key in keys], axis=1), first
    )
    counts = _by_user(np.ones((first.targets, 1)), first)
    resampled = bootstrap_means(np.hstack([table, counts]), resamples, seed)
    resampled = (resampled[:, :-1] / resampled[:, -1:]).reshape(resamples, len(runs), len(keys))
    compared = [
        _compared(run, each, resampled[:, index], chosen, sizes or {})
        for index, (run, each) in enumerate(zip(runs, measured, strict=True))
    ]
    at = keys.index(metric)
    values = table.reshape(first.users, len(runs), len(keys))[:, :, at]
    prepared = first.data
    return Comparison(
        protocol=protocol,
        metric=metric,
        data={
            "name": prepared.name,
            "fingerprint": prepared.fingerprint,
            "split": first.facts,
        },
        users=first.users,
        left_out=0,
        models=compared,
        pairs=_pairs(
            [run.name for run in runs],
            metric,
            values / first.targets,
            resampled[:, :, at],
            permutations,
            seed,
        ),
        resamples=resamples,
        permutations=permutations,
        seed=seed,
        seconds=time.perf_counter() - started,
    )


def check_metric(metric: str, protocol: Protocol) -> None:
    """Check that a protocol measures a metric.

    Raises:
        UsageError: it is a metric of lists, which has no value for a single user.
        UnknownNameError: it does not; the message shows the nearest metric that it measures.
    """
    known = [f"{name}@{cutoff}" for name in protocol.metrics for cutoff in protocol.cutoffs]
    if metric.partition("@")[0] in protocol.list_metrics:
        raise UsageError(
            f"'{metric}' is a metric of the lists of all users together, which has no p-value; "
            f"compare by one of: {', '.join(known)}"
        )
    if metric not in known:
        raise UnknownNameError(
            f"unknown metric '{metric}'{nearest(metric, known) or '.'} "
            f"{protocol.name} measures: {', '.join(known)}"
        )


def _check_numbers(
    models: int, resamples: int, permutations: int, seed: int, batch_size: int
) -> None:
    if models < 2:
        raise UsageError(f"models to compare: {models}; expected 2 or more")
    for what, number, least in (
        ("resamples", resamples, 1),
        ("permutations", permutations, 1),
        ("seed", seed, 0),
        ("batch_size", batch_size, 1),
    ):
        if number < least:
            raise UsageError(f"{what} is {number}; expected {least} or more")


def _prepare(
    models: Mapping[str, SequenceModel], data: PreparedData, protocol: Protocol
) -> list[_Run]:
    """The data of each model, which must be the same for all of them."""
    prepared: dict[str, SequenceData] = {}
    for name, model in models.items():
        try:
            prepared[name] = data.of(model, protocol)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
    first = next(iter(models))
    for name, own in prepared.items():
        same = own.fingerprint == prepared[first].fingerprint
        if not same or own.users != prepared[first].users:
            minimums = [data.minimum(models[each], protocol) for each in (first, name)]
            reason, remedy = (
                (f"min_count {minimums[0]} and {minimums[1]}", "give --min-count for all of them")
                if minimums[0] != minimums[1]
                else ("different columns or options", "give --user-col, --item-col and --time-col")
            )
            raise UsageError(
                f"{first} and {name} would be measured on different data: their recipes have "
                f"{reason}; {remedy}"
            )
    splits = {name: data.split(model, protocol) for name, model in models.items()}
    for name, split in splits.items():
        if split != splits[first]:
            raise UsageError(
                f"{first} and {name} would be measured on different targets: their recipes split "
                f"the data with {splits[first].settings} and {split.settings}; give --split for "
                "all of them"
            )
    runs = []
    for name, model in models.items():
        try:
            held_out = hold_out(prepared[name], model.vocabulary, splits[name])
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        warn_of_differences(model, held_out, protocol, name=name)
        warn_of_unknown_items(held_out, name=name)
        runs.append(_Run(name, model, held_out))
    if len({frozenset(model.vocabulary.items) for model in models.values()}) > 1:
        logger.warning(
            "the models know different items, and each ranks the held-out item among its own"
        )
    return runs


def _baselines(runs: list[_Run]) -> list[_Run]:
    """The baselines, fitted on the training part of the data that the models are measured on."""
    data, chosen = runs[0].held_out.data, runs[0].held_out.chosen
    taken = sorted({run.name for run in runs} & set(baseline_names()))
    if taken:
        raise UsageError(
            f"the model '{taken[0]}' has the name of a baseline; give it another name, or leave "
            "the baselines out"
        )
    return [
        _Run(name, model, hold_out(data, model.vocabulary, chosen))
        for name, model in fit_baselines(data, chosen).items()
    ]


def _measure(
    run: _Run,
    protocol: Protocol,
    batch_size: int,
    advance: Callable[[int], None],
    *,
    lists: bool,
) -> _Measured:
    before = time.perf_counter()
    # The first batch of a process is slow and would make the first model alone look slow.
    _ranks(replace(run, held_out=run.held_out.first(batch_size)), protocol, batch_size)
    ranking = time.perf_counter()
    ranks = _ranks(run, protocol, batch_size, advance)
    after = time.perf_counter()
    return _Measured(
        gains_of(ranks, run.held_out, protocol),
        # Apart from the ranks, so that the speed does not depend on what is requested.
        _ranks(run, protocol, batch_size, lists=True) if lists else ranks,
        len(run.held_out.rows) / (after - ranking),
        after - before,
    )


def _ranks(
    run: _Run,
    protocol: Protocol,
    batch_size: int,
    advance: Callable[[int], None] = lambda users: None,
    *,
    lists: bool = False,
) -> Ranks:
    """The ranks of the targets that the model can rank."""
    try:
        (ranks,) = ranks_of(
            run.model,
            run.held_out,
            [protocol],
            lists=lists,
            batch_size=batch_size,
            advance=advance,
        )
    except DataError as error:
        raise DataError(f"{run.name}: {error}") from error
    return ranks


def _by_user(values: Floats, held_out: HeldOut) -> Floats:
    """The sums over each user's targets [U, C] of values by target [T, C]."""
    sums = np.zeros((held_out.users, values.shape[1]))
    np.add.at(sums, held_out.owners, values)
    return sums


def _compared(
    run: _Run,
    measured: _Measured,
    resampled: Floats,
    protocol: Protocol,
    sizes: Mapping[str, int],
) -> Compared:
    """The result of one model; ``resampled`` [R, K] are the bootstrapped means of its K metrics."""
    started = time.perf_counter()
    model, held_out = run.model, run.held_out
    metrics = means(measured.gains)
    if measured.ranks.lists is not None:
        metrics |= list_metrics(measured.ranks.lists, model, held_out, protocol)[0]
    record = model.metrics.get(protocol.name, {})
    stored = dict(record.get("metrics", {}))
    match = data_match(
        record, held_out, uses_time=model.backbone.uses_time, features=model.reads.features
    )
    size = sizes.get(run.name)
    if size is None:
        size = sum(tensor.nbytes for tensor in distinct_state(model)[0].values())
    state_bytes = session_bytes(model, held_out)
    return Compared(
        name=run.name,
        architecture=model.architecture,
        users=held_out.users,
        targets=held_out.targets,
        items=len(model.vocabulary),
        metrics=metrics,
        known_targets=known_targets(held_out, measured.gains),
        interval={key: interval(resampled[:, index]) for index, key in enumerate(measured.gains)},
        stored=stored,
        drift=drift_of(metrics, stored) if match == "same" else {},
        parameters=model.num_parameters,
        bytes=size,
        state_bytes=state_bytes,
        users_per_second=measured.targets_per_second,
        seconds=measured.seconds + time.perf_counter() - started,
        environment=environment_of(model),
    )


def _pairs(
    names: list[str], metric: str, values: Floats, resampled: Floats, permutations: int, seed: int
) -> list[Pair]:
    """Every pair of models, from shares by user [U, models] and resampled means [R, models].

    The shares of all users sum up to the metric of a model.
    """
    both = list(itertools.combinations(range(len(names)), 2))
    left, right = [a for a, _ in both], [b for _, b in both]
    differences = values[:, left] - values[:, right]
    p_values = randomisation_test(differences, permutations, seed)
    return [
        Pair(
            a=names[a],
            b=names[b],
            metric=metric,
            difference=float(differences[:, index].sum()),
            interval=interval(resampled[:, a] - resampled[:, b]),
            p_value=p_values[index],
            p_adjusted=p_adjusted,
        )
        for index, ((a, b), p_adjusted) in enumerate(zip(both, holm(p_values), strict=True))
    ]
