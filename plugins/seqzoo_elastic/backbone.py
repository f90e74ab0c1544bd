"""The ELASTIC backbone, reconstructed (see the package's docstring for what is known and what not).

Causal form (ours; nothing that we could read of the paper has one). As quoted, the experts read the
whole history, so an event sees what comes after it through them, and only the newest position can
train. Here position t has its own experts P_t, which have read the events up to t alone, and it
reads from those. An event's score for an expert is taken once, with the experts as they stood when
the event came (P_s scores x_s): it never changes later, so the softmax is a running sum with a
constant state. Scores by the experts of the reading position would be closer to the equations and
need all scores anew at every position, which is quadratic. Where the experts start from no event
(first layer, ``imr`` other than ``pre``) the two are the same.

Interest memory. ``pre`` reads it with the mean of the events (so far) plus the newest event, and
adds to each expert's start what that expert takes; ``post`` reads it with every vector that comes
out and adds what it finds. Both queries use no later event and at most a running mean, so both suit
both forms; ``pre`` is the default because the abstract has the memory widen what the experts can
be at equal compute.

Cost. Time is linear in L: a position and layer takes O(D^2 + H K D), and in the causal form, which
works in chunks of C positions, O(C K D) more. That form has K expert vectors at every position, but
only for one chunk at a time where they would take much memory: the backward pass then computes them
again, to the same bits, at a third to a half more time. A history then holds O(L D) for
events, O(K D L / C) a layer for the states between chunks, and O(C (K D + C H K)) a layer for the
chunk in work: with the default settings in float32, forward and backward, 1.6 MB at L = 200 and
2.7 MB at L = 800 (counted on the CPU, tensors alive at one time, ``pre``).

Shapes in brackets: B histories, L positions, T positions of a chunk, D width, H heads, K experts.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.parts.layers import init_linear
from seqzoo_elastic.config import ElasticConfig
from seqzoo_elastic.layer import DispatcherLayer
from seqzoo_elastic.memory import InterestMemory
from seqzoo_elastic.running import running_mean

_KEPT_EXPERTS = 2**22
"""Numbers in a batch's experts at every position, up to which all chunks are kept."""


class Elastic(Backbone):
    """Stack of dispatcher layers between which events and experts are handed on."""

    causal = True
    streaming = True

    def __init__(self, config: ElasticConfig) -> None:
        super().__init__()
        self.causal = config.causal
        self.streaming = config.causal
        self.imr = config.imr
        self.chunk_size = config.chunk_size
        # Rows of one would stay alike for ever, so they are drawn one by one, as large as the
        # LayerNormed events that are added to them: small ones would drown in those.
        self.experts = nn.Parameter(torch.randn(config.num_experts, config.hidden_size))
        self.layers = nn.ModuleList(DispatcherLayer(config) for _ in range(config.num_layers))
        if config.imr != "none":
            self.memory = InterestMemory(config)
        if config.imr == "post":
            self.memory_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
            self.dropout = nn.Dropout(config.dropout)
        init_linear(self)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Every position: [B, L, D] -> [B, L, D]."""
        if not self.causal:
            hidden, scores, experts = self._below_top(hidden, batch)
            experts = self._top.gather(hidden, scores, experts, batch.mask)
            return self._add_memory(self._top.read(hidden, experts))
        state = self.initial_state(len(hidden))
        outputs = []
        call = self._caller(hidden)
        # One split, not a slice for each chunk, whose backward would fill [B, L, D] each time.
        for chunk in torch.split(hidden, self.chunk_size, dim=1):
            output, state = call(self._advance, chunk, state)
            outputs.append(output)
        return torch.cat(outputs, dim=1)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event: [B, L, D] -> [B, D]; the last layer works for it alone.

        Nothing runs along the history in that layer: one softmax over all events is enough.
        """
        below = self._below_top_running if self.causal else self._below_top
        hidden, scores, experts = below(hidden, batch)
        experts = self._top.gather(hidden, scores, experts, batch.mask)
        newest = batch.gather_last(hidden)[:, None]
        return self._add_memory(self._top.read(newest, experts)[:, 0])

    def initial_state(self, batch_size: int) -> State:
        """The running softmax of each layer, and for ``imr="pre"`` the running mean of the events.

        Of constant size: H K (D / H + 2) numbers a layer and D + 1 for the mean.

        Raises:
            NotImplementedError: ``causal=False``, where experts read the whole history anew.
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
        """One more event of each user, a chunk of one: [B, D] -> [B, D]; ignores ``elapsed``.

        Raises:
            NotImplementedError: ``causal=False``, where experts read the whole history anew.
        """
        if not self.causal:
            raise NotImplementedError("Elastic with causal=False cannot stream; set causal=True")
        output, state = self._advance(hidden[:, None], state)
        return output[:, 0], state

    def _advance(self, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """All layers for a chunk: [B, T, D] -> [B, T, D], and the state after it."""
        hidden, _, state = self._run(hidden, state, self._layers())
        return self._add_memory(hidden), state

    def _run(
        self, hidden: Tensor, state: State, layers: list[DispatcherLayer]
    ) -> tuple[Tensor, Tensor, State]:
        """Some layers, from the first, for a chunk.

        Returns:
            Events [B, T, D], experts as they stand at each position [B, T, K, D], state.
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
        """What the last layer starts from where the experts read the whole history.

        Returns:
            Events [B, L, D], their scores in the last layer [B, L, H, K], experts [B, K, D].
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
        """What the last layer starts from in the causal form, for the newest position.

        Returns:
            Events [B, L, D], their scores in the last layer by the experts as they stood at each
            [B, L, H, K], the experts at the newest position [B, K, D].
        """
        state = self.initial_state(len(hidden))
        newest = hidden.new_zeros(len(hidden), *self.experts.shape)
        place = batch.lengths - 1
        outputs, scores = [], []
        call = self._caller(hidden)
        for chunk in torch.split(hidden, self.chunk_size, dim=1):
            output, chunk_scores, newest, state = call(
                self._advance_below_top, chunk, state, newest, place
            )
            outputs.append(output)
            scores.append(chunk_scores)
            place = place - chunk.shape[1]
        return torch.cat(outputs, dim=1), torch.cat(scores, dim=1), newest

    def _caller(self, hidden: Tensor) -> Callable[..., Any]:
        """What works on the chunks of [B, L, D]: with or without a second forward pass."""
        experts = hidden.numel() * len(self.experts)
        small = experts <= _KEPT_EXPERTS or not torch.is_grad_enabled()
        return _called if small else _recomputed

    def _advance_below_top(
        self, hidden: Tensor, state: State, newest: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """All layers but the last for a chunk, and what the last takes from it.

        Args:
            hidden: events [B, T, D].
            state: of the events before the chunk.
            newest: experts at the newest position [B, K, D], of those rows that had it before.
            place: where the newest position is, counted from the chunk's first [B].

        Returns:
            Events [B, T, D], scores [B, T, H, K], ``newest`` with this chunk's rows, state.
        """
        hidden, experts, state = self._run(hidden, state, self._layers()[:-1])
        scores = _each(self._top.scores, hidden, experts)
        length = hidden.shape[1]
        here = (place >= 0) & (place < length)
        rows = torch.arange(len(place), device=place.device)
        found = experts[rows, place.clamp(0, length - 1)]
        return hidden, scores, torch.where(here[:, None, None], found, newest), state

    def _first_experts(self, query: Tensor) -> Tensor:
        """What the experts start from: [..., D] -> [..., K, D]; all alike but for ``pre``."""
        if self.imr != "pre":
            return self.experts.expand(*query.shape[:-1], -1, -1)
        return self.experts + self.memory.read_for_experts(query, self.experts)

    def _add_memory(self, hidden: Tensor) -> Tensor:
        """Where ``imr="post"``, add what each vector finds: [..., D] -> [..., D]."""
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
    """A layer's work for positions [B, T, D] of which each has experts of its own [B, T, K, D]."""
    return function(hidden[:, :, None], experts)[:, :, 0]


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _recomputed(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call, keep only the arguments, and compute the rest again for the gradients."""
    return checkpoint(function, *arguments, use_reentrant=False)
