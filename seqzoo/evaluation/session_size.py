"""The size of the state that a session keeps for one user."""

import numpy as np

from seqzoo.evaluation.held_out import HeldOut
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.streaming import Streaming

__all__ = ["SESSION_EVENTS", "session_bytes"]

SESSION_EVENTS = 200
"""The most events fed to a session to measure its state, however long the model's window."""


def session_bytes(model: SequenceModel, held_out: HeldOut) -> int | None:
    """Bytes of a session's state after the longest history, repeated if it is too short.

    Args:
        model: the model.
        held_out: the data, read with the model's vocabulary.

    Returns:
        The bytes after ``SESSION_EVENTS`` events, or after ``max_length`` if that is less; None if
        the model keeps no state or no target can be ranked.
    """
    sequences, split = held_out.sequences, held_out.split
    if not Streaming.of(model).keeps_state(0) or not len(split):
        return None
    events = min(model.max_length, SESSION_EVENTS)
    row = int(np.argmax(split.history_end - split.history_start))
    history = slice(split.history_start[row], split.history_end[row])
    items = np.resize(sequences.items[history][-events:], events).tolist()
    times: list[int | None] = [None] * events
    if sequences.timestamps is not None:
        # Sorted, because repeated events would otherwise go back in time.
        times = np.sort(np.resize(sequences.timestamps[history][-events:], events)).tolist()
    session = model.session()
    try:
        for item, when in zip(items, times, strict=True):
            session.observe(model.vocabulary.item(item), when)
    except NotImplementedError:  # the backbone can stream, but the embedder cannot
        return None
    return session.state_bytes
