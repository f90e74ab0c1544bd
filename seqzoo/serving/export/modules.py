"""The computations of a model that are exported, as functions of tensors only.

Shapes in brackets: B batch, L positions, D width, V items, E excluded pairs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seqzoo.interfaces import SequenceBatch
from seqzoo.model.streaming import Streaming, step
from seqzoo.ops.nested import form_of, leaves, nested

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["EventModule", "HistoryModule", "ScoresModule", "StateTensor", "event_module"]


class HistoryModule(nn.Module):
    """Whole histories to user vectors."""

    def __init__(self, model: "SequenceModel") -> None:
        super().__init__()
        self.model = model

    def forward(self, items: Tensor, lengths: Tensor, timestamps: Tensor | None = None) -> Tensor:
        """[B, L], [B], [B, L] -> [B, D]."""
        return self.model.read(SequenceBatch(items, lengths, timestamps))


class ScoresModule(nn.Module):
    """User vectors to the scores of all items, without padding and excluded pairs."""

    def __init__(self, model: "SequenceModel") -> None:
        super().__init__()
        self.head = model.head
        # The head keeps the embedder where `nn.Module` does not find it; its table is needed here.
        self.embedder = model.embedder

    def forward(self, user_vectors: Tensor, rows: Tensor, items: Tensor) -> Tensor:
        """[B, D], [E], [E] -> [B, V + 1]."""
        scores = self.head(user_vectors)
        padding = torch.arange(scores.shape[1], device=scores.device) == 0
        scores = scores.masked_fill(padding, -torch.inf)
        value = torch.full((), -torch.inf, dtype=scores.dtype)
        return torch.index_put(scores, (rows, items), value)


@dataclass(frozen=True)
class StateTensor:
    """One tensor of a state.

    Attributes:
        initial: before the first event, for one user; a number for all users has no dimension.
        growing: the dimension that grows by one with every event; None for none.
    """

    initial: Tensor
    growing: int | None


class EventModule(nn.Module):
    """One event of each user, with the state before it."""

    def __init__(self, model: "SequenceModel", counted: bool, form: Any) -> None:
        """Args: the model; whether the embedder counts events; how the state is nested."""
        super().__init__()
        self.model, self.counted, self.form = model, counted, form
        self.timed = model.backbone.uses_time
        self.bound = Streaming.of(model).bound

    def forward(self, item: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Items [B], seconds since the last event [B] if used, states -> [B, D], states."""
        gaps = None
        if self.timed:
            gaps, *tensors = tensors  # type: ignore[assignment]
        position, own = None, tensors
        if self.counted:
            position, own = tensors[0].item(), tensors[1:]
            torch._check(position >= 0)  # type: ignore[no-untyped-call]
            if self.bound is not None:
                torch._check(position < self.bound)  # type: ignore[no-untyped-call]
        state = nested(self.form, iter(own))
        hidden, _, state = step(self.model, item, gaps, position, state)
        # Copies, so that no output is one of the inputs.
        after = [tensor.clone() for tensor in leaves(state)]
        if self.counted:
            after.insert(0, tensors[0] + 1)
        return hidden, *after


def event_module(model: "SequenceModel") -> tuple[EventModule, list[StateTensor]] | None:
    """The module of one event, and the tensors of its state; None for a model without a state."""
    streaming = Streaming.of(model)
    if not streaming.keeps_state(0):
        return None
    items = torch.ones(1, dtype=torch.int64)
    gaps = torch.zeros(1, dtype=torch.int64) if model.backbone.uses_time else None
    before = model.backbone.initial_state(1)
    _, embedder, after = step(model, items, gaps, None, before)
    counted = type(embedder) is int and embedder == 1
    if embedder is not None and not counted:
        return None
    first, second = leaves(before), leaves(after)
    tensors = [StateTensor(torch.zeros((), dtype=torch.int64), None)] if counted else []
    for old, new in zip(first, second, strict=True):
        grown = [d for d, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)) if a != b]
        tensors.append(StateTensor(old, grown[0] if grown else None))
    return EventModule(model, counted, form_of(before)), tensors
