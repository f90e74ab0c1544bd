"""``compare``: several models on the same users, and how sure the differences between them are."""

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqzoo.data.interactions import Interactions
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import Split, leave_one_out
from seqzoo.errors import DataError, UnknownNameError, UsageError, nearest
from seqzoo.evaluation.comparison import Compared, Comparison, Pair
from seqzoo.evaluation.evaluate import check_model, drift_of, environment_of, gains_of
from seqzoo.evaluation.preparation import (
    PreparedData,
    protocol_with_plugin_metrics,
    warn_of_differences,
)
from seqzoo.evaluation.protocol import Protocol
from seqzoo.evaluation.ranks import rank_targets
from seqzoo.evaluation.significance import bootstrap_means, holm, interval, randomisation_test
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.weights import distinct_state

logger = logging.getLogger("seqzoo")

_SESSION_EVENTS = 200
"""A window without a bound, or a long one, is not fed to its end to see what a state takes."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Run:
    """What a model was given: its data and the rows of the split that all models share."""

    name: str
    model: SequenceModel
    prepared: SequenceData
    split: Split


def compare(
    models: Mapping[str, SequenceModel],
    data: str | Path | Interactions,
    protocol: str = "loo-full",
    *,
    metric: str = "ndcg@10",
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 0,
    batch_size: int = 128,
    settings: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    advance: Callable[[int], None] = lambda users: None,
) -> Comparison:
    """Measure models on the same users and say how sure their differences are.

    Args:
        models: two or more, by the names that the result calls them.
        data: the name of a data set, a path, or interactions.
        protocol: registered name.
        metric: what the models are compared by, a metric of the protocol at one of its cutoffs.
        resamples: how often users are drawn for the intervals.
        permutations: how many draws of signs the p-values rest on.
        seed: of the draws.
        batch_size: histories scored at once.
        settings: fields of ``DataConfig`` that differ from the recipes', ``min_count`` for example.
        sizes: bytes of the file of weights by name, where known; those of the tensors otherwise.
        advance: called with the number of users done, for a progress bar.

    Raises:
        UnknownNameError: the protocol, the metric or the data set does not exist.
        UsageError: there are fewer than two models, a number is too small, or the recipes of the
            models filter or read the data differently.
        DataError: the data cannot be read, hold no item of a model, or no user for all of them.
    """
    started = time.perf_counter()
    if not isinstance(models, Mapping):
        raise UsageError(
            f"expected models by name and got {type(models).__name__}; give a dict: "
            "{'mine': seqzoo.load('./mine'), …}"
        )
    for model in models.values():
        check_model(model)
    _check_numbers(len(models), resamples, permutations, seed, batch_size)
    chosen = protocol_with_plugin_metrics(protocol)
    check_metric(metric, chosen)
    runs, left_out = _prepare(models, PreparedData(data, settings), chosen)
    values: list[dict[str, Floats]] = []
    timings: list[tuple[float, float]] = []
    for run in runs:
        before = time.perf_counter()
        # The first batch pays for what is set up once, and would slow the first model alone.
        _values(_Run(run.name, run.model, run.prepared, _rows(run.split, slice(batch_size))),
            chosen, batch_size, lambda users: None)  # fmt: skip
        ranking = time.perf_counter()
        values.append(_values(run, chosen, batch_size, advance))
        after = time.perf_counter()
        timings.append((len(run.split) / (after - ranking), after - before))
    keys = list(values[0])
    table = np.stack([gains[key] for gains in values for key in keys], axis=1)
    means = bootstrap_means(table, resamples, seed).reshape(resamples, len(runs), len(keys))
    compared = [
        _compared(run, gains, means[:, index], timings[index], chosen, left_out, sizes or {})
        for index, (run, gains) in enumerate(zip(runs, values, strict=True))
    ]
    return Comparison(
        protocol=protocol,
        metric=metric,
        data={"name": runs[0].prepared.name, "fingerprint": runs[0].prepared.fingerprint},
        users=len(runs[0].split),
        left_out=left_out,
        models=compared,
        pairs=_pairs(
            list(models),
            metric,
            np.stack([gains[metric] for gains in values], axis=1),
            means[:, :, keys.index(metric)],
            permutations,
            seed,
        ),
        resamples=resamples,
        permutations=permutations,
        seed=seed,
        seconds=time.perf_counter() - started,
    )


def check_metric(metric: str, protocol: Protocol) -> None:
    """See that a protocol measures a metric.

    Raises:
        UnknownNameError: it does not; shows the nearest one that it measures.
    """
    known = [f"{name}@{cutoff}" for name in protocol.metrics for cutoff in protocol.cutoffs]
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


def _data_of(
    name: str, model: SequenceModel, data: PreparedData, protocol: Protocol
) -> SequenceData:
    """The data as the recipe of a model reads them; an error says whose recipe it is about."""
    try:
        return data.of(model, protocol)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _prepare(
    models: Mapping[str, SequenceModel], data: PreparedData, protocol: Protocol
) -> tuple[list[_Run], int]:
    """The data of each model with the users that all of them share, and how many are left out."""
    prepared = {name: _data_of(name, model, data, protocol) for name, model in models.items()}
    first = next(iter(models))
    for name, own in prepared.items():
        if own.fingerprint != prepared[first].fingerprint:
            minimums = [data.minimum(models[each], protocol) for each in (first, name)]
            reason, remedy = (
                (f"min_count {minimums[0]} and {minimums[1]}", "give --min-count for all of them")
                if minimums[0] != minimums[1]
                else ("other columns or options", "give --user-col, --item-col and --time-col")
            )
            raise UsageError(
                f"{first} and {name} would be measured on different data: their recipes have "
                f"{reason}; {remedy}"
            )
    for name, model in models.items():
        warn_of_differences(model, prepared[name], protocol, name=name)
    splits = {name: leave_one_out(own.sequences, "test") for name, own in prepared.items()}
    targets = {name: _targets(prepared[name], split) for name, split in splits.items()}
    # Users come in the order of the data, so the same ones stand in the same order everywhere.
    shared = set.intersection(*(set(own.items()) for own in targets.values()))
    everybody = set().union(*targets.values())
    if not everybody:
        raise DataError(
            f"{prepared[first].name}: no user has 3 interactions or more, which leave-one-out "
            "needs; give more data"
        )
    left_out = len(everybody) - len(shared)
    if not shared:
        raise DataError(
            f"{prepared[first].name}: no user has the same held-out item for all models, as they "
            "know different items; compare models that were trained on the same data"
        )
    if len({frozenset(model.vocabulary.items) for model in models.values()}) > 1:
        logger.warning(
            "the models know different items: each is ranked among its own, and %d of %d users "
            "are left out, whose held-out item is not the same for all models",
            left_out,
            len(everybody),
        )
    runs = []
    for name, model in models.items():
        rows = [row for row, pair in enumerate(targets[name].items()) if pair in shared]
        runs.append(_Run(name, model, prepared[name], _rows(splits[name], rows)))
    return runs, left_out


def _targets(prepared: SequenceData, split: Split) -> dict[str, str]:
    """The held-out item of each user, in the order of the split's rows."""
    items = prepared.sequences.items[split.target].tolist()
    return {
        prepared.users[user]: prepared.vocabulary.item(item)
        for user, item in zip(split.users.tolist(), items, strict=True)
    }


def _rows(split: Split, rows: Sequence[int] | slice) -> Split:
    return Split(
        history_start=split.history_start[rows],
        history_end=split.history_end[rows],
        target=split.target[rows],
        users=split.users[rows],
    )


def _values(
    run: _Run, protocol: Protocol, batch_size: int, advance: Callable[[int], None]
) -> dict[str, Floats]:
    """Every metric of the protocol for each user: ``{"hit@10": [M]}``."""
    try:
        (ranks,) = rank_targets(
            run.model,
            run.prepared.sequences,
            run.split,
            remove_seen=[protocol.remove_seen],
            window=protocol.window,
            batch_size=batch_size,
            advance=advance,
        )
    except DataError as error:
        raise DataError(f"{run.name}: {error}") from error
    return {
        f"{name}@{cutoff}": ranks.mean_gain(gain, cutoff)
        for name, gain in gains_of(protocol).items()
        for cutoff in protocol.cutoffs
    }


def _compared(
    run: _Run,
    gains: Mapping[str, Floats],
    means: Floats,
    timing: tuple[float, float],
    protocol: Protocol,
    left_out: int,
    sizes: Mapping[str, int],
) -> Compared:
    """The result of one model; ``means`` [R, K] are of its K metrics."""
    started = time.perf_counter()
    model = run.model
    metrics = {key: float(values.mean()) for key, values in gains.items()}
    record = model.metrics.get(protocol.name, {})
    stored = dict(record.get("metrics", {}))
    fingerprint = record.get("data", {}).get("fingerprint", run.prepared.fingerprint)
    comparable = not left_out and fingerprint == run.prepared.fingerprint
    size = sizes.get(run.name)
    if size is None:
        size = sum(tensor.nbytes for tensor in distinct_state(model)[0].values())
    state_bytes = _state_bytes(run)
    users_per_second, spent = timing
    return Compared(
        name=run.name,
        architecture=model.architecture,
        users=len(run.split),
        items=len(model.vocabulary),
        metrics=metrics,
        interval={key: interval(means[:, index]) for index, key in enumerate(gains)},
        stored=stored,
        drift=drift_of(metrics, stored) if comparable else {},
        parameters=model.num_parameters,
        bytes=size,
        state_bytes=state_bytes,
        users_per_second=users_per_second,
        seconds=spent + time.perf_counter() - started,
        environment=environment_of(model),
    )


def _state_bytes(run: _Run) -> int | None:
    """What a session's state takes after the longest history, repeated where it is too short."""
    model, sequences = run.model, run.prepared.sequences
    if not model.backbone.streaming:
        return None
    events = min(model.max_length, _SESSION_EVENTS)
    row = int(np.argmax(run.split.history_end - run.split.history_start))
    history = slice(run.split.history_start[row], run.split.history_end[row])
    items = np.resize(sequences.items[history][-events:], events).tolist()
    times: list[int | None] = [None] * events
    if sequences.timestamps is not None:
        # Sorted, because events that are repeated would go back in time.
        times = np.sort(np.resize(sequences.timestamps[history][-events:], events)).tolist()
    session = model.session()
    try:
        for item, when in zip(items, times, strict=True):
            session.observe(model.vocabulary.item(item), when)
    except NotImplementedError:  # the backbone can stream, and the embedder cannot
        return None
    return session.state_bytes


def _pairs(
    names: list[str], metric: str, values: Floats, means: Floats, permutations: int, seed: int
) -> list[Pair]:
    """Every two models; ``values`` [M, models] by user, ``means`` [R, models] bootstrapped."""
    both = list(itertools.combinations(range(len(names)), 2))
    left, right = [a for a, _ in both], [b for _, b in both]
    differences = values[:, left] - values[:, right]
    p_values = randomisation_test(differences, permutations, seed)
    return [
        Pair(
            a=names[a],
            b=names[b],
            metric=metric,
            difference=float(differences[:, index].mean()),
            interval=interval(means[:, a] - means[:, b]),
            p_value=p_values[index],
            p_adjusted=p_adjusted,
        )
        for index, ((a, b), p_adjusted) in enumerate(zip(both, holm(p_values), strict=True))
    ]
