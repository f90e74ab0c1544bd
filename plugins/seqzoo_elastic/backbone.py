"""The ELASTIC backbone, a reconstruction; the package's docstring says what is known and what not.

Causal form (ours). In the quoted equations the experts read the whole history. Each event then sees
later events through them, and only the newest position can be a training target. Here position t
has its own experts P_t, which have read only the events up to t. The score of an event x_s for an
expert is computed once, with the experts P_s at that event, and does not change later, so that the
softmax is a running sum with a state of constant size. Scores by the experts of the reading
position would be closer to the equations, but would have to be computed again at every position,
which is quadratic. In the first layer the two are the same, unless ``imr`` is ``pre``.

Interest memory. With ``pre`` the query is the mean of the events so far plus the newest event, and
what each expert reads is added to its initial value. With ``post`` each output vector is a query
and the result is added to it. Neither query uses later events, so both suit both forms. ``pre`` is
the default because in the abstract the memory extends the experts at equal compute.

Cost. Time is linear in L: O(D^2 + H K D) per position and layer, and O(C K D) more in the causal
form, which works in chunks of C positions and computes several chunks of a few histories at a time.
That form has K expert vectors at every position. If they would take much memory, only those that
are computed at a time are kept; the backward pass computes the others again, to the same bits,
which takes a third to a half more time. With one chunk at a time, a history then holds O(L D) for
events, O(K D L / C) per layer for the states between chunks, and O(C (K D + C H K)) per layer for
the current chunk: with the default settings in float32, forward and backward, 1.6 MB at L = 200 and
2.7 MB at L = 800 (tensors alive at the same time, on the CPU, with ``pre``).

Shapes in brackets: B histories, L positions, T positions of a chunk, D width, H heads, K experts.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.ops.exporting import exporting, scan
from seqzoo.parts.layers import init_linear
from seqzoo_elastic.config import ElasticConfig
from seqzoo_elastic.layer import DispatcherLayer
from seqzoo_elastic.memory import InterestMemory
from seqzoo_elastic.running import running_mean

__all__ = ["Elastic"]

_SEGMENT_EXPERTS = 2**20
"""Number of expert values that are computed at a time: more would not fit a processor's cache."""
_KEPT_EXPERTS = 2**22
"""Number of expert values of a batch up to which those of all chunks are kept."""


class Elastic(Backbone):
    """A stack of dispatcher layers, each of which transforms both events and experts."""

    causal = True
    streaming = True

    def __init__(self, config: ElasticConfig) -> None:
        super().__init__()
        self.causal = config.causal
        self.streaming = config.causal
        self.imr = config.imr
        self.chunk_size = config.chunk_size
        # Equal experts would stay equal, so they are random. They are as large as the normalised
        # events that are added to them, which would dominate smaller ones.
        self.experts = nn.Parameter(torch.randn(config.num_experts, config.hidden_size))
        self.layers = nn.ModuleList(DispatcherLayer(config) for _ in range(config.num_layers))
        if config.imr != "none":
            self.memory = InterestMemory(config)
        if config.imr == "post":
            self.memory_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
            self.dropout = nn.Dropout(config.dropout)
        init_linear(self)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        if not self.causal:
            hidden, scores, experts = self._below_top(hidden, batch)
            experts = self._top.gather(hidden, scores, experts, batch.mask)
            return self._add_memory(self._top.read(hidden, experts))
        state = self.initial_state(len(hidden))
        outputs = []
        call = self._caller(hidden)
        # Not a slice per chunk: its backward pass would fill a tensor [B, L, D] each time.
        for chunk in torch.split(hidden, self._segment(len(hidden)), dim=1):
            output, state = call(self._advance, chunk, state)
            outputs.append(output)
        return torch.cat(outputs, dim=1)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        The top layer runs only for that event, with one softmax over all events.
        """
        below = self._below_top_running if self.causal else self._below_top
        hidden, scores, experts = below(hidden, batch)
        experts = self._top.gather(hidden, scores, experts, batch.mask)
        newest = batch.gather_last(hidden)[:, None]
        return self._add_memory(self._top.read(newest, experts)[:, 0])

    def initial_state(self, batch_size: int) -> State:
        """The running softmax of each layer, and with ``imr="pre"`` the running mean of the events.

        The size is constant: H K (D / H + 2) values per layer, and D + 1 for the mean.

        Raises:
            NotImplementedError: ``causal=False``, where each event changes the whole result.
        """
        if not self.causal:
            raise NotImplementedError("Elastic with causal=False cannot stream; set causal=True")
        state: dict[str, Any] = {
            "layers": [layer.empty_state(batch_size) for layer in self._layers()]
        }
        if self.imr == "pre":
            width = self.experts.shape[1]
            state["seen"] = (
                self.experts.new_zeros(batch_size, width),
                self.experts.new_zeros(batch_size, 1),
            )
        return state

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used.

        Raises:
            NotImplementedError: ``causal=False``, where each event changes the whole result.
        """
        if not self.causal:
            raise NotImplementedError("Elastic with causal=False cannot stream; set causal=True")
        output, state = self._advance(hidden[:, None], state)
        return output[:, 0], state

    def _advance(self, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """All layers for a chunk: [B, T, D] -> [B, T, D], and the state after the chunk."""
        hidden, _, state = self._run(hidden, state, self._layers())
        return self._add_memory(hidden), state

    def _run(
        self, hidden: Tensor, state: State, layers: list[DispatcherLayer]
    ) -> tuple[Tensor, Tensor, State]:
        """The lowest layers, for a chunk.

        Returns:
            Events [B, T, D], the experts at each position [B, T, K, D], and the new state.
        """
        query = hidden
        if self.imr == "pre":
            mean, seen = running_mean(hidden, state["seen"])
            state = state | {"seen": seen}
            query = mean + hidden
        experts = self._first_experts(query)
        sums = []
        for layer, before in zip(layers, state["layers"], strict=False):
            scores = _each(layer.scores, hidden, experts)
            experts, after = layer.gather_running(hidden, scores, experts, before)
            hidden = _each(layer.read, hidden, experts)
            sums.append(after)
        return hidden, experts, state | {"layers": sums}

    def _below_top(self, hidden: Tensor, batch: SequenceBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs of the top layer, where the experts read the whole history.

        Returns:
            Events [B, L, D], their scores in the top layer [B, L, H, K], experts [B, K, D].
        """
        newest = batch.gather_last(hidden)
        query = newest
        if self.imr == "pre":
            real = hidden.masked_fill(~batch.mask[..., None], 0.0)
            query = real.sum(1) / batch.lengths[:, None] + newest
        experts = self._first_experts(query)
        *lower, top = self._layers()
        for layer in lower:
            scores = layer.scores(hidden, experts)
            experts = layer.gather(hidden, scores, experts, batch.mask)
            hidden = layer.read(hidden, experts)
        return hidden, top.scores(hidden, experts), experts

    def _below_top_running(
        self, hidden: Tensor, batch: SequenceBatch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs of the top layer for the newest event, in the causal form.

        Returns:
            Events [B, L, D], their scores in the top layer for the experts at each event
            [B, L, H, K], and the experts at the newest event [B, K, D].
        """
        if exporting():
            return self._exportable_below_top(hidden, batch.lengths)
        state = self.initial_state(len(hidden))
        newest = hidden.new_zeros(len(hidden), *self.experts.shape)
        offset = batch.lengths - 1
        outputs, scores = [], []
        call = self._caller(hidden)
        for chunk in torch.split(hidden, self._segment(len(hidden)), dim=1):
            output, chunk_scores, newest, state = call(
                self._advance_below_top, chunk, state, newest, offset
            )
            outputs.append(output)
            scores.append(chunk_scores)
            offset = offset - chunk.shape[1]
        return torch.cat(outputs, dim=1), torch.cat(scores, dim=1), newest

    def _segment(self, rows: int) -> int:
        """Positions that are computed at a time: as many chunks as are worth it, at least one."""
        chunks = _SEGMENT_EXPERTS // (rows * self.chunk_size * self.experts.numel())
        return self.chunk_size * max(1, chunks)

    def _caller(self, hidden: Tensor) -> Callable[..., Any]:
        """How functions are called on chunks of [B, L, D]: with or without recomputation."""
        experts = hidden.numel() * len(self.experts)
        if experts <= _KEPT_EXPERTS or not torch.is_grad_enabled():
            return lambda function, *arguments: function(*arguments)
        # Keeps only the arguments: the backward pass computes the rest again.
        return partial(checkpoint, use_reentrant=False)

    def _advance_below_top(
        self, hidden: Tensor, state: State, newest: Tensor, offset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """All layers but the top one for a chunk, and the top layer's inputs from it.

        Args:
            hidden: events [B, T, D].
            state: the state before the chunk.
            newest: experts at the newest event [B, K, D], for histories that end before the chunk.
            offset: position of the newest event relative to the chunk's first position [B].

        Returns:
            Events [B, T, D], scores [B, T, H, K], ``newest`` with the histories that end in this
            chunk, and the new state.
        """
        hidden, experts, state = self._run(hidden, state, self._layers()[:-1])
        scores = _each(self._top.scores, hidden, experts)
        length = hidden.shape[1]
        here = (offset >= 0) & (offset < length)
        rows = torch.arange(len(offset), device=offset.device)
        found = experts[rows, offset.clamp(0, length - 1)]
        return hidden, scores, torch.where(here[:, None, None], found, newest), state

    def _exportable_below_top(
        self, hidden: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``_below_top_running`` for any number of positions, one at a time."""
        *lower, top = self._layers()

        def advance(carried: Any, event: Tensor) -> tuple[Any, tuple[Tensor, Tensor]]:
            state, newest, left = carried
            output, experts, state = self._run(event[:, None], state, lower)
            scores = _each(top.scores, output, experts)
            newest = torch.where((left == 0)[:, None, None], experts[:, 0], newest)
            return (state, newest, left - 1), (output[:, 0], scores[:, 0])

        rows = hidden.shape[0]
        state = self.initial_state(rows)
        state = state | {"layers": state["layers"][:-1]}
        start = state, hidden.new_zeros(rows, *self.experts.shape), lengths - 1
        (_, newest, _), (outputs, scores) = scan(advance, start, hidden.transpose(0, 1))
        return outputs.transpose(0, 1), scores.transpose(0, 1), newest

    def _first_experts(self, query: Tensor) -> Tensor:
        """Initial experts: [..., D] -> [..., K, D]; they depend on the query only with ``pre``."""
        if self.imr != "pre":
            return self.experts.expand(*query.shape[:-1], -1, -1)
        return self.experts + self.memory.read_for_experts(query, self.experts)

    def _add_memory(self, hidden: Tensor) -> Tensor:
        """With ``imr="post"`` add what each vector reads from the memory: [..., D] -> [..., D]."""
        if self.imr != "post":
            return hidden
        found = self.memory.read(hidden)
        return self.memory_norm(hidden + self.dropout(found))  # type: ignore[no-any-return]

    @property
    def _top(self) -> DispatcherLayer:
        return self._layers()[-1]

    def _layers(self) -> list[DispatcherLayer]:
        return [layer for layer in self.layers if isinstance(layer, DispatcherLayer)]


def _each(function: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, experts: Tensor) -> Tensor:
    """Call a layer's function for positions [B, T, D] that have their own experts [B, T, K, D]."""
    return function(hidden[:, :, None], experts)[:, :, 0]
