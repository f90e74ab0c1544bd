"""What backbones share: initial weights, self-attention, a feed-forward layer, a stack of layers.

Shapes in brackets: B histories in a batch, L positions, D hidden width, H heads.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo.errors import ConfigError
from seqzoo.interfaces import Backbone, SequenceBatch, State
from seqzoo.ops import StepOperations, feed_forward
from seqzoo.ops.exporting import exporting
from seqzoo.ops.step_operations import Value

__all__ = [
    "INITIAL_STD",
    "FeedForward",
    "LayerStack",
    "SelfAttention",
    "StackLayer",
    "check_length",
    "check_session_length",
    "init_linear",
    "join_heads",
    "split_heads",
]

INITIAL_STD = 0.02
"""Standard deviation of initial item tables and weight matrices.

It is that of RecBole's SASRec and of the published Mamba4Rec."""


def init_linear(module: nn.Module) -> None:
    """Initialise all linear layers of a module, or the layer given: normal weights, zero biases.

    Weights have the standard deviation ``INITIAL_STD`` and are drawn in the order of
    ``module.modules()``.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, INITIAL_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def check_length(
    length: int, max_length: int | None, limit: str = "the number of learned positions"
) -> None:
    """Refuse a batch of histories that are longer than a part reads.

    Args:
        length: number of positions of the batch.
        max_length: the setting; None for no limit.
        limit: what ``max_length`` is to the part.

    Raises:
        ConfigError: names both lengths.
    """
    if max_length is not None and length > max_length:
        raise ConfigError(
            f"a history of {length} events is longer than max_length = {max_length}, {limit}; keep "
            "only its newest events"
        )


def check_session_length(
    length: int, max_length: int | None, limit: str = "the number of learned positions"
) -> None:
    """Refuse the event that makes a session longer than a part reads; as ``check_length``.

    Raises:
        ConfigError: names both lengths.
    """
    if max_length is not None and length > max_length:
        raise ConfigError(
            f"event {length} of a session is beyond max_length = {max_length}, {limit}"
        )


def split_heads(values: Tensor, num_heads: int) -> Tensor:
    """Give each attention head its part of the width: [..., L, D] -> [..., H, L, D / H]."""
    # Computed, because -1 is ambiguous without events.
    width = values.shape[-1] // num_heads
    return values.reshape(*values.shape[:-1], num_heads, width).transpose(-2, -3)


def join_heads(values: Tensor) -> Tensor:
    """Undo ``split_heads``: [..., H, L, D / H] -> [..., L, D]."""
    return values.transpose(-2, -3).flatten(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention with output projection, residual and LayerNorm.

    What may read what is left to those who call or inherit it.

    Args:
        width: D.
        num_heads: H.
        dropout: dropout probability after the projection.
        attention_dropout: dropout probability of the attention weights.
        eps: epsilon of the LayerNorm.
    """

    def __init__(
        self, width: int, num_heads: int, dropout: float, attention_dropout: float, eps: float
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=eps)

    def attend(
        self, queries: Tensor, hidden: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Let Q positions read L positions.

        Args:
            queries: vectors that the queries are computed from [B, Q, D].
            hidden: vectors that the keys and values are computed from [B, L, D].
            mask: True where a position may be read; broadcasts to [B, H, Q, L]. None for all.
            causal: whether position i reads positions up to i only.

        Returns:
            [B, Q, D].
        """
        if queries.shape[1] == 1 and not (causal or self.training or exporting()):
            return self._attend_once(queries, hidden, mask)
        mixed = functional.scaled_dot_product_attention(
            self.split(self.query(queries)),
            self.split(self.key(hidden)),
            self.split(self.value(hidden)),
            attn_mask=mask,
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.finish(mixed, queries)

    def _attend_once(self, queries: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """``attend`` of one position: [B, 1, D], [B, L, D] -> [B, 1, D].

        The matrices of keys and values are applied to the query and to the sum, so that they are
        read once and not for each of the L positions.
        """
        query = self.split(self.query(queries))  # [B, H, 1, D / H]
        by_head = self.key.weight.view(self.num_heads, -1, hidden.shape[-1])  # [H, D / H, D]
        query = query * query.shape[-1] ** -0.5
        of_bias = query @ self.key.bias.view(self.num_heads, -1, 1)  # [B, H, 1, 1]
        scores = (query @ by_head).flatten(1, 2) @ hidden.mT + of_bias.squeeze(3)  # [B, H, L]
        if mask is not None:
            scores = scores.unsqueeze(2).masked_fill(~mask, -torch.inf).squeeze(2)
        sums = scores.softmax(dim=-1) @ hidden  # [B, H, D]
        values = self.value.weight.view(self.num_heads, -1, hidden.shape[-1])
        mixed = sums.unsqueeze(2) @ values.mT  # [B, H, 1, D / H]
        return self.finish(mixed + self.value.bias.view(self.num_heads, 1, -1), queries)

    def split(self, values: Tensor) -> Tensor:
        """Give each head its part of the width: [B, L, D] -> [B, H, L, D / H]."""
        return split_heads(values, self.num_heads)

    def finish(self, mixed: Tensor, queries: Tensor) -> Tensor:
        """Projection, residual and LayerNorm: [B, H, Q, D / H], [B, Q, D] -> [B, Q, D]."""
        mixed = self.dense(join_heads(mixed))
        return self.norm(self.dropout(mixed) + queries)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Position-wise feed-forward layer with residual and LayerNorm: [..., D] -> [..., D].

    It is ``LN(Dropout(W2 GELU(W1 x + b1) + b2) + x)``.

    Args:
        width: D.
        inner: width between both linear layers.
        dropout: dropout probability.
        eps: epsilon of the LayerNorm.
        names: of both linear layers in a checkpoint.
        inner_dropout: whether dropout also follows GELU.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        dropout: float,
        eps: float,
        *,
        names: tuple[str, str] = ("dense_1", "dense_2"),
        inner_dropout: bool = False,
    ) -> None:
        super().__init__()
        self._names = names
        self._inner_dropout = inner_dropout
        self.add_module(names[0], nn.Linear(width, inner))
        self.add_module(names[1], nn.Linear(inner, width))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Each position separately: [..., D] -> [..., D]."""
        first, second = (getattr(self, name) for name in self._names)
        if not self.dropout.training:
            return feed_forward(hidden, first, second, self.norm)
        inner = functional.gelu(first(hidden))
        if self._inner_dropout:
            inner = self.dropout(inner)
        return self.norm(self.dropout(second(inner)) + hidden)  # type: ignore[no-any-return]

    def write_step(self, operations: StepOperations, hidden: Value) -> Value:
        """The same for one more event of each user, in a compiled step: [B, D] -> [B, D]."""
        first, second = (getattr(self, name) for name in self._names)
        inner = operations.activation(operations.linear(hidden, first), "gelu")
        if self._inner_dropout:
            inner = operations.dropout(inner, self.dropout)
        inner = operations.linear(inner, second)
        return operations.norm(operations.dropout(inner, self.dropout) + hidden, self.norm)


class StackLayer(nn.Module, ABC):
    """A layer of a ``LayerStack``: causal, with a state of its own for streaming."""

    @abstractmethod
    def forward(self, hidden: Tensor) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""

    @abstractmethod
    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first event of ``batch_size`` users."""

    def step(self, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] and state -> [B, D] and new state.

        Raises:
            NotImplementedError: only the whole stack has a step.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")


class LayerStack(Backbone):
    """Causal layers one after another; ``last`` runs the top layer only for the newest event."""

    causal = True
    streaming = True

    def __init__(self, layers: Iterable[StackLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def last(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """Only the newest event of each history: [B, L, D] -> [B, D]."""
        *lower, top = self._stack()
        for layer in lower:
            hidden = layer(hidden)
        return top.last(hidden, batch)

    def initial_state(self, batch_size: int) -> State:
        """A list with the state of each layer."""
        return [layer.initial_state(batch_size) for layer in self._stack()]

    def step(self, hidden: Tensor, state: State, elapsed: Tensor | None) -> tuple[Tensor, State]:
        """One more event of each user: [B, D] -> [B, D]; ``elapsed`` is not used."""
        states = []
        for layer, layer_state in zip(self._stack(), state, strict=True):
            hidden, layer_state = layer.step(hidden, layer_state)
            states.append(layer_state)
        return hidden, states

    def _stack(self) -> list[StackLayer]:
        return [layer for layer in self.layers if isinstance(layer, StackLayer)]
