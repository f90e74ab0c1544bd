"""The FuXi-Linear backbone (arXiv 2602.23671): linear in the length, streaming, with timestamps.

The query time of a position is the time of the next event. An event can therefore be completed only
when the next one, or a request, arrives: in streaming the newest event is pending.

Shapes in brackets: B histories, L positions, D width of the model, H periods.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.ops.exporting import exporting, scan
from seqzoo.ops.precision import widened, without_autocast
from seqzoo.parts.layers import check_length
from seqzoo_fuxi_linear.config import FuxiLinearConfig
from seqzoo_fuxi_linear.layer import FuxiLayer, LayerState
from seqzoo_fuxi_linear.sums import even_chunk
from seqzoo_fuxi_linear.times import Oscillations

__all__ = ["FuxiLinear"]

_EPS = 1e-6


class FuxiLinear(Backbone):
    """A stack of layers; the results have length one."""

    causal = True
    streaming = True
    uses_time = True
    uses_query_time = True

    def __init__(self, config: FuxiLinearConfig) -> None:
        super().__init__()
        self.chunk = config.chunk_size
        self.max_length = config.max_length
        self.uses_query_time = config.time == "next"
        self.oscillations = Oscillations(config)
        self.layers = nn.ModuleList(FuxiLayer(config) for _ in range(config.num_layers))

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        if exporting():
            return self._scanned(hidden, batch)
        check_length(hidden.shape[1], self.max_length)
        return _unit(self._through(self._stack(), hidden, batch))

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        The top layer sums over the history for that event alone.
        """
        if exporting():
            return batch.gather_last(self._scanned(hidden, batch))
        check_length(hidden.shape[1], self.max_length)
        *lower, top = self._stack()
        hidden = self._through(lower, hidden, batch)
        weights = self.oscillations.newest(batch, widened(hidden).dtype)
        return _unit(top.last(hidden, batch, weights))

    def initial_state(self, batch_size: int) -> State:
        """The state before the first event.

        ``count`` is the number of events [B]. With ``time=next`` the newest event is ``pending``
        [B, D], ``gap`` [B] are the seconds before it, and ``layers`` has the sums over the events
        before it. A pending event of zeros adds nothing, as no layer has a bias.
        """
        weight = self._stack()[0].time_proj.weight
        count = torch.zeros(batch_size, dtype=torch.int64, device=weight.device)
        state: dict[str, Any] = {
            "count": count,
            "layers": [layer.initial_state(batch_size) for layer in self._stack()],
        }
        if self.uses_query_time:
            state |= {"pending": weight.new_zeros(batch_size, len(weight)), "gap": count.clone()}
        return state

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D], for a request at its own time."""
        nothing = torch.zeros_like(state["count"])
        gap = nothing if elapsed is None else elapsed.clamp(min=0)
        count, layers = state["count"], state["layers"]
        if not self.uses_query_time:
            found, layers = self._one(hidden, layers, count, *self._left(hidden, gap, nothing))
            return found, {"count": count + 1, "layers": layers}
        before, now, own = self._left(hidden, state["gap"], gap, nothing)
        # The time of the new event is the query time of the pending one.
        layers = self._finished(state["pending"], layers, (count - 1).clamp(min=0), before, now)
        found, _ = self._one(hidden, layers, count, now, own)
        return found, {"count": count + 1, "layers": layers, "pending": hidden, "gap": gap}

    def answer(self, state: State, waited: Tensor) -> Tensor:
        """User vectors for requests some seconds [B] after the newest event: [B, D].

        A request before the newest event counts as one at its time.
        """
        hidden, row = state["pending"], (state["count"] - 1).clamp(min=0)
        left = self._left(hidden, state["gap"], waited.clamp(min=0))
        return self._one(hidden, state["layers"], row, *left)[0]

    def _through(self, layers: list[FuxiLayer], hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions through some layers: [B, L, D] -> [B, L, D]."""
        if not layers:
            return hidden
        with without_autocast(hidden.device):
            chunk = even_chunk(hidden.shape[1], self.chunk)
            clock = self.oscillations.clock(batch, chunk, widened(hidden).dtype)
        for layer in layers:
            hidden = layer(hidden, clock)
        return hidden

    def _one(
        self, hidden: Tensor, states: list[LayerState], row: Tensor, since: Tensor, until: Tensor
    ) -> tuple[Tensor, list[LayerState]]:
        """One event of each user through all layers.

        Args:
            hidden: the event [B, D].
            states: the states of each layer before it.
            row: its position [B].
            since: what the seconds since the previous event leave [B, H, 2].
            until: what the seconds until the request leave [B, H, 2].

        Returns:
            Vectors [B, D], and the state of each layer after the event.
        """
        new = []
        for layer, state in zip(self._stack(), states, strict=True):
            channels, state = layer.absorb(hidden, state, row, since, until)
            hidden = layer.finish(hidden, channels)
            new.append(state)
        return _unit(hidden), new

    def _finished(
        self, hidden: Tensor, states: list[LayerState], row: Tensor, since: Tensor, until: Tensor
    ) -> list[LayerState]:
        """The states that ``_one`` gives, without what only its vectors need."""
        new = []
        *lower, top = self._stack()
        for layer, state in zip(lower, states, strict=False):
            channels, state = layer.absorb(hidden, state, row, since, until)
            hidden = layer.finish(hidden, channels)
            new.append(state)
        return [*new, top.absorb(hidden, states[-1], row, since, until)[1]]

    def _left(self, hidden: Tensor, *seconds: Tensor) -> tuple[Tensor, ...]:
        """What some seconds leave of the sums over time: [...] -> [..., H, 2] for each."""
        return self.oscillations.factors(torch.stack(seconds), widened(hidden).dtype).unbind()

    def _scanned(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """``forward`` in a form that can be exported: one position after the other."""
        events, queries = self.oscillations.times(batch)
        since = torch.diff(events, dim=1, prepend=events[:, :1]).clamp(min=0)
        start = [layer.initial_state(hidden.shape[0]) for layer in self._stack()]
        row = torch.zeros_like(events[:, 0])

        def advance(before: Any, now: tuple[Tensor, ...]) -> tuple[Any, Tensor]:
            row, states = before
            vector, since, until = now
            found, states = self._one(vector, states, row, since, until)
            return (row + 1, states), found

        left = self._left(hidden, since, queries - events)
        inputs = tuple(each.transpose(0, 1) for each in (hidden, *left))
        _, found = scan(advance, (row, start), inputs)
        return found.transpose(0, 1)  # type: ignore[no-any-return]

    def _stack(self) -> list[FuxiLayer]:
        return [layer for layer in self.layers if isinstance(layer, FuxiLayer)]


def _unit(hidden: Tensor) -> Tensor:
    """Vectors of length one."""
    return functional.normalize(hidden, dim=-1, eps=_EPS)
