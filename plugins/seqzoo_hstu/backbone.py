"""The HSTU backbone: layers that compare the timestamps of events with that of the request.

Shapes in brackets: B batch, L positions, D width, m events of a session.
"""

import torch
from torch import Tensor, nn

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.parts.layers import check_length
from seqzoo_hstu.config import HstuConfig
from seqzoo_hstu.layer import HstuLayer
from seqzoo_hstu.relations import newest_relations, query_times, relations, streamed_relations

__all__ = ["Hstu"]

_LIMIT = "the number of distances with a weight"


class Hstu(Backbone):
    """HSTU as its authors' research code has it (arXiv 2402.17152, section 4.1.1).

    With ``time_mode=next`` what deeper layers keep of an event depends on the time of the event
    after it. A session therefore keeps the newest event pending: its keys and values are final when
    the next event comes, and requests until then compute it for their own times.
    """

    causal = True
    streaming = True
    uses_time = True
    uses_query_time = True

    def __init__(self, config: HstuConfig) -> None:
        super().__init__()
        self.time_mode = config.time_mode
        self.uses_time = config.time_mode != "none"
        self.uses_query_time = config.time_mode == "next"
        self.max_length = config.max_length
        self.layers = nn.ModuleList(HstuLayer(config) for _ in range(config.num_layers))

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        check_length(hidden.shape[1], self.max_length, _LIMIT)
        blocks = list(relations(batch, query_times(batch, self.time_mode)))
        for layer in self.layers:
            hidden = layer(hidden, blocks)
        return hidden

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        check_length(hidden.shape[1], self.max_length, _LIMIT)
        *lower, top = self._stack()
        queries = query_times(batch, self.time_mode)
        if lower:
            blocks = list(relations(batch, queries))
            for layer in lower:
                hidden = layer(hidden, blocks)
        newest = batch.gather_last(hidden)[:, None]
        return top.last(hidden, newest, newest_relations(batch, queries))[:, 0]

    def initial_state(self, batch_size: int) -> State:
        """No ages and empty caches, and no pending event where one is kept."""
        weight = self._stack()[0].uvqk
        caches = []
        for layer in self._stack():
            values, _, _, keys = (size // layer.num_heads for size in layer.sizes)
            empty = [weight.new_zeros(batch_size, layer.num_heads, 0, n) for n in (keys, values)]
            caches.append((empty[0], empty[1]))
        ages = torch.zeros(batch_size, 0, dtype=torch.int64, device=weight.device)
        state = {"ages": ages, "caches": caches}
        if self.uses_query_time:
            state["pending"] = weight.new_zeros(batch_size, 0, len(weight))
        return state

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D].

        The state has the age of each event in seconds when the newest one came, keys and values of
        the events for each layer, and the embedded newest event while it is pending.
        """
        rows = hidden[:, None]
        ages = state["ages"]
        if elapsed is not None:
            ages = ages + elapsed[:, None]
        # Not `len`, which fixes the number of users when a model is traced.
        ages = torch.cat([ages, ages.new_zeros(ages.shape[0], 1)], 1)
        if not self.uses_query_time:
            rows, caches = self._rows(rows, ages, state["caches"], 1)
            return rows[:, 0], {"ages": ages, "caches": caches}
        # The pending event is answered for the time of the new one, which is pending from now on.
        both = torch.cat([state["pending"], rows], 1)
        both, caches = self._rows(both, ages, state["caches"], both.shape[1] - 1)
        return both[:, -1], {"ages": ages, "caches": caches, "pending": rows}

    def answer(self, state: State, waited: Tensor) -> Tensor:
        """User vectors [B, D] for a request ``waited`` seconds [B] after the newest event."""
        ages = state["ages"] + waited[:, None]
        rows, _ = self._rows(state["pending"], ages, state["caches"], 0)
        return rows[:, -1]

    def _rows(
        self, rows: Tensor, ages: Tensor, caches: State, finished: int
    ) -> tuple[Tensor, State]:
        """The newest events [B, n, D] of each user, for requests at the time of ``ages`` [B, m]."""
        between = streamed_relations(ages, rows.shape[1], self.uses_time)
        after = []
        for layer, cache in zip(self._stack(), caches, strict=True):
            rows, cache = layer.step(rows, cache, finished, between)
            after.append(cache)
        return rows, after

    def _stack(self) -> list[HstuLayer]:
        return [layer for layer in self.layers if isinstance(layer, HstuLayer)]
