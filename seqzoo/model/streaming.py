"""One more event for users with a state, and how many events a model can stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqzoo.interfaces import Backbone, State
from seqzoo.model.inference import inference

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["Streaming", "step", "step_items", "streams"]


@dataclass(frozen=True)
class Streaming:
    """How a model follows a user's events.

    Attributes:
        bound: the number of events up to which there is a state: None for any number, 0 for a model
            that keeps none.
        window: the number of newest events that are read again where there is no state.
    """

    bound: int | None
    window: int

    @classmethod
    def of(cls, model: "SequenceModel") -> "Streaming":
        """How a model follows events.

        A model keeps no state if one of its parts has no ``step``, if its objective changes the
        history for every recommendation, or if it reads what ``step`` and ``answer`` do not get.
        """
        if model.objective.changes_history or not streams(model):
            return cls(0, model.max_length)
        bounds = [model.embedder.max_length, model.backbone.max_length]
        bound = min((bound for bound in bounds if bound is not None), default=None)
        return cls(bound, bound or 0)

    def keeps_state(self, events: int) -> bool:
        """Whether one more event is streamed after this number of events."""
        return self.bound is None or events < self.bound


def streams(model: "SequenceModel") -> bool:
    """Whether events one at a time give what the whole history gives."""
    backbone = model.backbone
    if model.reads.query_times and type(backbone).answer is Backbone.answer:
        return False
    return backbone.streaming and model.embedder.streaming and not model.reads.of_events


def step_items(
    model: "SequenceModel",
    items: Sequence[int],
    gaps: Sequence[int] | None,
    embedder: State,
    backbone: State,
    overwrite: bool = False,
) -> tuple[Tensor, State, State]:
    """One more event of each user in evaluation mode, in one call where the parts can be compiled.

    Arguments and results are those of ``step``. With ``overwrite`` the new states may be written
    into the tensors of the old ones.
    """

    def write(items: Any, state: State, gaps: Any) -> tuple[Any, State]:
        hidden, *after = step(model, items, gaps, *state)
        return hidden, tuple(after)

    state = embedder, backbone
    found = model.item_step(model, write, model.any_tensor, items, state, gaps, overwrite)
    if found is not None:
        hidden, (embedder, backbone) = found
        return hidden, embedder, backbone
    device = model.device
    with inference(model):
        return step(
            model,
            torch.tensor(items, device=device),
            None if gaps is None else torch.tensor(gaps, device=device),
            embedder,
            backbone,
        )


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
