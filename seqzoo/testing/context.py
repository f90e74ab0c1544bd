"""Checks of what a model reads other than items and timestamps: query times, features, users."""

from dataclasses import replace

import torch

from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.probes import (
    example_batch,
    hidden_of,
    initial_states,
    last_of,
    require_equal,
    step_once,
)

__all__ = ["check_answers", "check_context_is_read", "check_query_times"]


def check_query_times(
    model: SequenceModel, batch: SequenceBatch, before: torch.Tensor, training: bool
) -> None:
    """The time of a request is read by its own position and later ones only."""
    length = batch.items.shape[1]
    for position in sorted({1, length // 2, length - 1} - {0, length}):
        # By 15 hours and by 63 years: a logarithm of the time hardly notices the former.
        for shift in (54_321, 2_000_000_000):
            queries = batch.query_times.clone()  # type: ignore[union-attr]
            queries[:, position] += shift
            found = hidden_of(model, replace(batch, query_times=queries), training)
            require_equal(
                found[:, :position],
                before[:, :position],
                f"causality: another query time at position {position} changes results before it; "
                "a position may read batch.query_times up to its own",
            )


def check_answers(model: SequenceModel) -> None:
    """``step`` predicts for a request at the time of its event, also without timestamps."""
    timed = example_batch(model, rows=3, ragged=False)
    untimed = replace(timed, timestamps=None, query_times=None)
    for batch, what in (
        (timed, "at the time of the newest event"),
        (untimed, "without timestamps"),
    ):
        states = initial_states(model, len(batch.items))
        for t in range(batch.items.shape[1]):
            hidden, states = step_once(model, replace(batch, query_times=None), t, states)
            require_equal(
                hidden,
                last_of(model, _asked_at_once(batch, t + 1)),
                f"streaming: step differs from the whole sequence for a request {what}; step() "
                "returns what answer() gives after no seconds, and without timestamps all events "
                "and requests are simultaneous",
            )


def _asked_at_once(batch: SequenceBatch, length: int) -> SequenceBatch:
    """The first events of each history, with a request at the time of the newest of them."""
    times = batch.timestamps
    queries = None
    if times is not None:
        times = times[:, :length]
        queries = torch.cat([times[:, 1:], times[:, -1:]], 1)
    return replace(
        batch,
        items=batch.items[:, :length],
        lengths=batch.lengths.clamp(max=length),
        timestamps=times,
        query_times=queries,
    )


def check_context_is_read(model: SequenceModel, batch: SequenceBatch) -> None:
    """Query times, features and users that parts declare change the results."""
    before = last_of(model, batch)
    others = {f"uses_features=('{name}',)": _other_values(batch, name) for name in batch.features}
    if batch.query_times is not None:
        later = batch.query_times + 40_000_000
        others["uses_query_time=True"] = replace(batch, query_times=later * batch.mask)
    if batch.users is not None:
        others["uses_users=True"] = replace(batch, users=batch.users.flip(0) + 1)
    for declared, other in others.items():
        if torch.equal(before, last_of(model, other)):
            raise ConformanceError(
                f"capabilities: a part says {declared}, but other values change nothing; read them "
                "from the batch, or do not declare them"
            )


def _other_values(batch: SequenceBatch, name: str) -> SequenceBatch:
    values = batch.features[name]
    moved = values + 1.5 if values.is_floating_point() else (values + 1) % (values.max() + 1)
    return replace(batch, features={**batch.features, name: moved * batch.mask})
