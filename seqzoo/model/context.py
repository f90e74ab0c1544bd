"""The request time, the features of events and the users that are given with histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.data.features import encoded_values
from seqzoo.errors import UsageError, nearest
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.events import Events
from seqzoo.model.reads import user_numbers
from seqzoo.validation import list_of, read_time

if TYPE_CHECKING:
    from seqzoo.model.scoring import ScoringModel

__all__ = ["Context", "Features", "read_context", "read_event", "window_batch"]

Features: TypeAlias = Mapping[str, Sequence[Any]]
"""Values by the name of a feature, one for each item of a history."""


@dataclass(frozen=True)
class Context:
    """What a model reads of histories other than items and timestamps.

    Attributes:
        features: values of all known events by name [E].
        at: unix seconds of each user's request [U]; None if the model does not read it, or for
            the time of the newest event.
        users: numbers of the users [U].
        query_times: whether the model reads the time of the request.
    """

    features: Mapping[str, npt.NDArray[Any]]
    at: npt.NDArray[np.int64] | None
    users: npt.NDArray[np.int64] | None
    query_times: bool


def read_context(
    model: "ScoringModel",
    histories: Sequence[Sequence[str]],
    timestamps: object,
    at: Sequence[int] | None,
    features: Sequence[Features] | None,
    users: Sequence[str] | None,
) -> Context | None:
    """Check and encode what was given with histories; None if the model reads none of it.

    Args:
        model: says what it reads.
        histories: item ids of each user.
        timestamps: those of the histories, or None.
        at: unix seconds of each user's request.
        features: the features of each user's events.
        users: the id of each user.

    Raises:
        UsageError: something that the model reads is missing, or does not fit the histories.
    """
    reads = model.reads
    if not reads and not features:
        return None
    histories = list_of("histories", "histories", histories)
    given = _one_each("features", "mappings", features, len(histories))
    for mapping in given or ():
        for name in mapping:
            if name not in reads.features:
                known = ", ".join(reads.features) or "none"
                raise UsageError(
                    f"the model reads no feature '{name}'{nearest(name, reads.features) or ';'} "
                    f"it reads: {known}"
                )
    if not reads:
        return None
    if at is not None and timestamps is None and reads.query_times:
        raise UsageError("at= is the time of a request; give timestamps= of the history as well")
    if reads.users and users is None:
        raise UsageError("the model reads who the user is; give users=[…], one id for each history")
    requests = _one_each("at", "unix seconds", at, len(histories))
    ids = _one_each("users", "user ids", users, len(histories))
    return Context(
        {name: _feature(model, name, histories, given) for name in reads.features},
        None
        if requests is None
        else np.array([read_time(time) for time in requests], dtype=np.int64),
        user_numbers([str(user) for user in ids]) if ids is not None and reads.users else None,
        reads.query_times,
    )


def _one_each(what: str, of: str, given: Any, users: int) -> list[Any] | None:
    if given is None:
        return None
    rows = list_of(what, of, given)
    if len(rows) != users:
        raise UsageError(f"{what} has {len(rows)} entries for {users} histories; give one for each")
    return rows


def _feature(
    model: "ScoringModel",
    name: str,
    histories: Sequence[Sequence[str]],
    given: list[Any] | None,
) -> npt.NDArray[Any]:
    """The values of one feature of all known events [E]."""
    values: list[Any] = []
    for row, history in enumerate(histories):
        if given is None or name not in given[row]:
            raise UsageError(
                f"the model reads the feature '{name}' of every event; give "
                f"features={{'{name}': […]}}, one value for each item of the history"
            )
        own = list_of(f"feature '{name}'", "values", given[row][name])
        if len(own) != len(history):
            raise UsageError(
                f"feature '{name}' has {len(own)} values for {len(history)} items of a history"
            )
        values += [v for v, item in zip(own, history, strict=True) if item in model.vocabulary]
    return encoded_values(name, model.vocabulary.features[name], values)


def read_event(model: "ScoringModel", features: Mapping[str, Any]) -> dict[str, Any]:
    """The features of one event that a model reads, checked.

    Raises:
        UsageError: one is missing, unknown or not a number.
    """
    if not model.reads.features and not features:
        return {}
    item = model.vocabulary.items[:1]
    one = {name: [value] for name, value in features.items()}
    read_context(model, [item], [[0]], None, [one], [""])
    return {name: features[name] for name in model.reads.features}


def window_batch(
    model: "ScoringModel",
    events: Sequence[Events],
    window: int,
    at: Sequence[int | None],
    users: Sequence[str | None],
) -> SequenceBatch:
    """The newest events of sessions that have no state, as the model reads them.

    Args:
        model: reads them.
        events: the events of each user, all with timestamps or all without.
        window: number of newest events.
        at: unix seconds of each user's request; None for the time of the newest event.
        users: the id of each user.

    Raises:
        UsageError: the model reads who the user is, and an id is missing.
    """
    newest = slice(-window, None)
    items = [each.items[newest] for each in events]
    times = [each.times[newest] for each in events] if events[0].times else None
    batch = SequenceBatch.from_histories(items, times)
    if not model.reads:
        return batch
    queries = None
    if model.reads.query_times and batch.timestamps is not None:
        queries = batch.timestamps.roll(-1, 1) * batch.mask
        own = batch.gather_last(batch.timestamps)
        requests = [int(t) if time is None else time for t, time in zip(own, at, strict=True)]
        queries[torch.arange(len(items)), batch.lengths - 1] = torch.tensor(requests)
    features = {}
    for name in model.reads.features:
        known = model.vocabulary.features[name]
        rows = [encoded_values(name, known, each.features[name][newest]) for each in events]
        wide = [row if row.dtype == np.float32 else row.astype(np.int64) for row in rows]
        features[name] = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(row) for row in wide], batch_first=True
        )
    numbers = None
    if model.reads.users:
        if None in users:
            raise UsageError(
                "the model reads who the user is; start the session with model.session(user=ID)"
            )
        numbers = torch.from_numpy(user_numbers([str(user) for user in users]))
    return replace(batch, query_times=queries, features=features, users=numbers)
