"""The TiSASRec backbone: self-attention with time intervals (WSDM 2020).

J. Li, Y. Wang and J. McAuley: Time Interval Aware Self-Attention for Sequential Recommendation.

Shapes in brackets: B histories, L positions, T positions of the window, M positions with vectors of
their own, D width, K largest interval.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.parts.layers import check_length, check_session_length
from seqzoo_tisasrec.attention import IntervalAttention, Relations
from seqzoo_tisasrec.config import TiSASRecConfig
from seqzoo_tisasrec.times import in_units, intervals, median_gap, since_first, smallest_gaps
from seqzoo_tisasrec.window import (
    Window,
    from_oldest,
    padded_on_the_left,
    padded_on_the_right,
    to_newest,
)

__all__ = ["TiSASRec", "TiSASRecLayer"]


class TiSASRecLayer(nn.Module):
    """Attention with intervals, and a feed-forward layer.

    The residual connection starts from the normalised query, and keys and values come from vectors
    that are not normalised: ``Y = LN(X) + Attention(LN(X), X)``, then ``LN(Y) + FFN(LN(Y))``.
    """

    def __init__(self, config: TiSASRecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.attention = IntervalAttention(config)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, relations: Relations
    ) -> Tensor:
        """Query positions: [B, Q, D]; keys and values [B, T, D] -> [B, Q, D]."""
        normed = self.attention_norm(queries)
        hidden = self.norm(normed + self.attention(normed, keys, values, relations))
        inner = self.dropout(functional.relu(self.inner(hidden)))
        return hidden + self.dropout(self.outer(inner))  # type: ignore[no-any-return]


class TiSASRec(Backbone):
    """A stack of layers over events, positions and intervals.

    Streaming keeps the keys, values and times of all events, up to ``max_length``.
    """

    causal = True
    streaming = True
    uses_time = True
    gap: Tensor
    """The unit of ``scale=train_median`` in seconds; 0 before training, when ``unit`` is used."""

    def __init__(self, config: TiSASRecConfig) -> None:
        super().__init__()
        self.config = config
        self.max_length = config.max_length
        self.causal = config.scale != "user_min"
        self.streaming = self.causal and config.position_order == "oldest"
        width = config.hidden_size
        self.position_keys = nn.Parameter(torch.empty(config.max_length, width))
        self.position_values = nn.Parameter(torch.empty(config.max_length, width))
        self.interval_keys = nn.Parameter(torch.empty(config.max_interval + 1, width))
        self.interval_values = nn.Parameter(torch.empty(config.max_interval + 1, width))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(TiSASRecLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        if config.scale == "train_median":
            self.register_buffer("gap", torch.zeros((), dtype=torch.int64))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D].

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        window = self._window(hidden, batch)
        relations, positions = self._relations(window), self._position_vectors(window)
        hidden = window.hidden
        for layer in self._layers():
            keys, values = self._keys_and_values(layer, hidden, positions)
            hidden = window.keep(layer(hidden, keys, values, relations))
        hidden = self.norm(hidden)
        return hidden if window.filled is None else padded_on_the_right(hidden, batch)

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D].

        The top layer runs only for that event.

        Raises:
            ConfigError: the batch is longer than ``max_length``.
        """
        window = self._window(hidden, batch)
        relations, positions = self._relations(window), self._position_vectors(window)
        hidden = window.hidden
        *lower, top = self._layers()
        for layer in lower:
            keys, values = self._keys_and_values(layer, hidden, positions)
            hidden = window.keep(layer(hidden, keys, values, relations))
        keys, values = self._keys_and_values(top, hidden, positions)
        rows = torch.arange(window.newest.shape[0], device=hidden.device)
        newest = replace(
            relations,
            intervals=relations.intervals[rows, window.newest][:, None],
            allowed=relations.allowed[0, window.newest][:, None],
        )
        queries = hidden[rows, window.newest][:, None]
        return self.norm(top(queries, keys, values, newest))[:, 0]  # type: ignore[no-any-return]

    def initial_state(self, batch_size: int) -> State:
        """Empty keys and values of each layer [B, 0, D], and times [B, 0].

        Raises:
            NotImplementedError: with these settings each event changes results of earlier ones.
        """
        self._check_streaming()
        empty = self.position_keys.new_zeros(batch_size, 0, self.position_keys.shape[1])
        times = torch.zeros(batch_size, 0, dtype=torch.int64, device=empty.device)
        return {"layers": [(empty, empty) for _ in self.layers], "seconds": times}

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D].

        Raises:
            ConfigError: the session already has ``max_length`` events.
            NotImplementedError: with these settings each event changes results of earlier ones.
        """
        self._check_streaming()
        before = state["seconds"]
        position = before.shape[1]
        check_session_length(position + 1, self.max_length)
        # Without a branch for the first event, so that a step can be traced.
        now = torch.cat([before.new_zeros(before.shape[0], 1), before], dim=1)[:, -1:]
        if elapsed is not None:
            now = now + elapsed[:, None]
        seconds = torch.cat([before, now], dim=1)
        times = in_units(seconds - seconds[:, :1], self._unit())
        relations = Relations(
            intervals(times[:, -1:], times, self.config.max_interval),
            torch.ones(1, 1, position + 1, dtype=torch.bool, device=hidden.device),
            self.interval_keys,
            self.interval_values,
        )
        vectors = self.position_keys[position], self.position_values[position]
        hidden = hidden[:, None] * math.sqrt(hidden.shape[1])
        states = []
        for layer, (keys, values) in zip(self._layers(), state["layers"], strict=True):
            key, value = self._keys_and_values(layer, hidden, vectors)
            keys, values = torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)
            hidden = layer(hidden, keys, values, relations)
            states.append((keys, values))
        return self.norm(hidden)[:, 0], {"layers": states, "seconds": seconds}

    def _window(self, hidden: Tensor, batch: SequenceBatch) -> Window:
        size = len(self.position_keys)
        check_length(hidden.shape[1], size)
        hidden = hidden * math.sqrt(hidden.shape[2])
        times = in_units(since_first(batch), self._unit(batch))
        if not self.config.mask_padded_keys:
            return padded_on_the_left(hidden, times, batch, size)
        if self.config.position_order == "newest":
            return to_newest(hidden, times, batch, size)
        return from_oldest(hidden, times, batch)

    def _unit(self, batch: SequenceBatch | None = None) -> Tensor | int:
        """Seconds of one interval; of each history [B, 1] with ``scale=user_min``."""
        if self.config.scale == "unit":
            return self.config.unit
        if self.config.scale == "user_min" and batch is not None:
            return smallest_gaps(batch)
        # Taken from the first training batch that has gaps, and then fixed: otherwise later events
        # would change earlier results.
        if self.training and batch is not None and not bool(self.gap):
            self.gap.copy_(median_gap(batch))
        return torch.where(self.gap > 0, self.gap, self.config.unit)

    def _relations(self, window: Window) -> Relations:
        """The relations of all pairs of positions; each history has its own dropout of tables."""
        size, rows = window.hidden.shape[1], window.hidden.shape[0]
        keys, values = self.interval_keys, self.interval_values
        if self.training:
            keys = self.dropout(keys.expand(rows, -1, -1))
            values = self.dropout(values.expand(rows, -1, -1))
        earlier = torch.ones(1, size, size, dtype=torch.bool, device=window.hidden.device).tril()
        pairs = intervals(window.times, window.times, self.config.max_interval)
        return Relations(pairs, earlier, keys, values)

    def _position_vectors(self, window: Window) -> tuple[Tensor, Tensor]:
        """The vectors of the positions, for keys and for values: [B, T, D] each."""
        shape = window.hidden.shape
        keys = self.position_keys[window.positions].expand(shape)
        values = self.position_values[window.positions].expand(shape)
        return self.dropout(keys), self.dropout(values)

    def _keys_and_values(
        self, layer: TiSASRecLayer, hidden: Tensor, positions: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of events [B, T, D] with their positions: [B, T, D] each."""
        attention = layer.attention
        return attention.key(hidden) + positions[0], attention.value(hidden) + positions[1]

    def _check_streaming(self) -> None:
        if not self.streaming:
            raise NotImplementedError(
                "TiSASRec streams only with position_order='oldest' and scale='unit' or "
                "'train_median'; with other settings an event changes results of earlier ones"
            )

    def _layers(self) -> list[TiSASRecLayer]:
        return [layer for layer in self.layers if isinstance(layer, TiSASRecLayer)]
