"""One more event for users with a state, and how many events a model can stream."""

from typing import TYPE_CHECKING

from torch import Tensor

from seqzoo.errors import UsageError
from seqzoo.interfaces import State

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel


def streaming_bound(model: "SequenceModel") -> int | None:
    """The number of events that a model can stream; None for any number.

    Raises:
        UsageError: the model's backbone cannot stream.
    """
    if not model.backbone.streaming:
        raise UsageError(
            f"a model of architecture '{model.architecture}' cannot stream with its settings; "
            "use recommend() with the whole history"
        )
    bounds = [model.embedder.max_length, model.backbone.max_length]
    return min((bound for bound in bounds if bound is not None), default=None)


def step(
    model: "SequenceModel", items: Tensor, gaps: Tensor | None, embedder: State, backbone: State
) -> tuple[Tensor, State, State]:
    """One more event of each user.

    Args:
        model: the model, in evaluation mode.
        items: item indices [B].
        gaps: seconds since the user's previous event [B]; None without timestamps.
        embedder: its state so far; None before the first event.
        backbone: its state so far.

    Returns:
        User vectors [B, D], and the new states of embedder and backbone.
    """
    vectors, embedder = model.embedder.step(items, embedder)
    hidden, backbone = model.backbone.step(vectors, backbone, gaps)
    return hidden, embedder, backbone
