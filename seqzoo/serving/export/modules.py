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

__all__ = [
    "AnswerModule",
    "EventModule",
    "HistoryModule",
    "ScoresModule",
    "StateTensor",
    "Streamed",
    "streamed",
    "window",
]


_MANY = 2**31 - 1


def window(model: "SequenceModel") -> int:
    """Number of newest events that are read: ``max_length``, less what the objective adds to them.

    With that many, the graph need not tell full histories, which lose their oldest events, from
    others.
    """
    batch = SequenceBatch.from_histories([[1, 1]])
    added = int(model.objective.query(batch, _MANY).lengths) - 2
    return model.max_length - max(0, added)


class HistoryModule(nn.Module):
    """Whole histories to user vectors."""

    def __init__(self, model: "SequenceModel") -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        items: Tensor,
        lengths: Tensor,
        timestamps: Tensor | None = None,
        query_times: Tensor | None = None,
    ) -> Tensor:
        """[B, L], [B], [B, L], [B, L] -> [B, D]."""
        return self.model.read(SequenceBatch(items, lengths, timestamps, query_times))


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
        growing: the dimension whose size changes with the events; None for none.
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


class AnswerModule(nn.Module):
    """A request some time after the newest event of each user, with the state after the event."""

    def __init__(self, model: "SequenceModel", counted: bool, form: Any) -> None:
        """Args: as ``EventModule``."""
        super().__init__()
        self.backbone, self.counted, self.form = model.backbone, counted, form

    def forward(self, waited: Tensor, *tensors: Tensor) -> Tensor:
        """Seconds since the newest event [B], states -> [B, D]."""
        state = nested(self.form, iter(tensors[self.counted :]))
        return self.backbone.answer(state, waited)


@dataclass(frozen=True)
class Streamed:
    """What is exported of a model that streams.

    Attributes:
        event: one event of each user.
        answer: a request after the newest event; None if its time changes nothing.
        state: the tensors of the state.
        example: their values after a few events of a few users, whose sizes that may change are
            neither 0 nor 1 where that is possible.
    """

    event: EventModule
    answer: AnswerModule | None
    state: list[StateTensor]
    example: list[Tensor]


def streamed(model: "SequenceModel", rows: int, events: int) -> Streamed | None:
    """What is exported of a model that streams; None for a model without a state.

    Args:
        model: the model.
        rows: users of the example.
        events: events of the example.
    """
    streaming = Streaming.of(model)
    if not streaming.keeps_state(0):
        return None
    if streaming.bound is not None:
        events = max(1, min(events, streaming.bound - 1))
    items = torch.ones(rows, dtype=torch.int64)
    gaps = torch.full((rows,), 60) if model.backbone.uses_time else None
    embedder, state = None, model.backbone.initial_state(rows)
    sizes = [[tensor.shape for tensor in leaves(state)]]
    for _ in range(events):
        _, embedder, state = step(model, items, gaps, embedder, state)
        sizes.append([tensor.shape for tensor in leaves(state)])
    counted = type(embedder) is int and embedder == events
    if embedder is not None and not counted:
        return None
    first = list(leaves(model.backbone.initial_state(1)))
    number = torch.zeros((), dtype=torch.int64)
    found = [StateTensor(number, None)] if counted else []
    for initial, shapes in zip(first, zip(*sizes, strict=True), strict=True):
        changing = [axis for axis, own in enumerate(zip(*shapes, strict=True)) if len({*own}) > 1]
        found.append(StateTensor(initial, changing[0] if changing else None))
    form = form_of(state)
    return Streamed(
        EventModule(model, counted, form),
        AnswerModule(model, counted, form) if model.reads.query_times else None,
        found,
        [*([number + events] if counted else []), *(each.clone() for each in leaves(state))],
    )
