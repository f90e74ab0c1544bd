"""One layer of linear dispatcher attention (arXiv 2408.09380, equations as reviews quote them).

With P the K interest experts and X the events::

    P' = softmax(P Q1 (X K1)^T) X V1          experts gather from events
    X' = softmax(X Q2 (P' K2)^T) P' V2        events read from experts

In the quoted equations the projections have no biases and there is no output projection. Our
choices: heads, with scores scaled by 1 / sqrt(D / H); a residual connection and LayerNorm after
each of the two steps; and a feed-forward layer over the events at the end, as in this library's
SASRec and Mamba4Rec.

If every position has its own experts, to project them would cost K D^2 per position. The three
products with projected experts are therefore rearranged to ``x . (Q p) = (Q^T x) . p`` and
``sum_k w_k (V p_k) = V sum_k w_k p_k``, at 2 D^2 + O(H K D) each.

Shapes in brackets: B histories, L positions, D width, H heads, K experts, E = D / H.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqzoo_elastic.config import ElasticConfig
from seqzoo_elastic.running import SoftmaxState, ages_from_start, running_softmax

__all__ = ["DispatcherLayer"]


class DispatcherLayer(nn.Module):
    """Experts gather from events, events read from experts, then a feed-forward layer."""

    def __init__(self, config: ElasticConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.num_experts = config.num_experts
        self.chunk_size = config.chunk_size
        self.scale = 1.0 / math.sqrt(width // config.num_heads)
        self.gather_query = nn.Linear(width, width, bias=False)
        self.gather_key = nn.Linear(width, width, bias=False)
        self.gather_value = nn.Linear(width, width, bias=False)
        self.gather_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.read_query = nn.Linear(width, width, bias=False)
        self.read_key = nn.Linear(width, width, bias=False)
        self.read_value = nn.Linear(width, width, bias=False)
        self.read_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.feed_1 = nn.Linear(width, 4 * width)
        self.feed_2 = nn.Linear(4 * width, width)
        self.feed_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.log_rates: nn.Parameter | None = None
        if config.forgetting:
            # Half-lives from 1 to 256 events: at first some experts read mostly the newest events
            # and others all of them.
            halvings = torch.linspace(0.0, 8.0, config.num_heads * config.num_experts)
            rates = math.log(2.0) / 2.0 ** halvings.view(config.num_experts, config.num_heads).T
            self.log_rates = nn.Parameter(rates.log().contiguous())
            # The optimizer reads this: decay would pull all rates to 1, which has no merit.
            self.log_rates._no_weight_decay = True  # type: ignore[attr-defined]

    def scores(self, hidden: Tensor, experts: Tensor) -> Tensor:
        """Scores of events for experts: [..., L, D], [..., K, D] -> [..., L, H, K]."""
        return self._match(self.gather_key(hidden), self.gather_query.weight, experts)

    def gather(self, hidden: Tensor, scores: Tensor, experts: Tensor, mask: Tensor) -> Tensor:
        """Experts after they have read the whole history.

        Args:
            hidden: events [B, L, D].
            scores: the scores of the events [B, L, H, K].
            experts: the experts before they read it [B, K, D].
            mask: True at real events [B, L].

        Returns:
            Experts [B, K, D].
        """
        rates = self._rates()
        if rates is not None:
            scores = scores + ages_from_start(rates, scores.shape[1]).movedim(-1, 0)
        weights = scores.masked_fill(~mask[..., None, None], -torch.inf).softmax(1)
        gathered = torch.einsum("blhk,blhe->bkhe", weights, self._values(hidden))
        return self._settle(experts, gathered.flatten(2))

    def gather_running(
        self, hidden: Tensor, scores: Tensor, experts: Tensor, state: SoftmaxState
    ) -> tuple[Tensor, SoftmaxState]:
        """Experts of each position of a chunk, after they have read the events up to it.

        Args:
            hidden: events [B, T, D].
            scores: the scores of the events [B, T, H, K].
            experts: the experts of each position, before they read [B, T, K, D].
            state: the state before the chunk.

        Returns:
            Experts [B, T, K, D] and the state after the chunk.
        """
        gathered, state = running_softmax(
            scores, self._values(hidden), state, self._rates(), chunk_size=self.chunk_size
        )
        return self._settle(experts, gathered), state

    def read(self, hidden: Tensor, experts: Tensor) -> Tensor:
        """Events after they have read from experts: [..., L, D], [..., K, D] -> [..., L, D]."""
        scores = self._match(self.read_query(hidden), self.read_key.weight, experts)
        mixed = torch.einsum("...lhk,...kd->...lhd", scores.softmax(-1), experts)
        value = self.read_value.weight.view(self.num_heads, -1, experts.shape[-1])
        read = torch.einsum("...lhd,hed->...lhe", mixed, value).flatten(-2)
        hidden = self.read_norm(hidden + self.dropout(read))
        inner = self.feed_2(functional.gelu(self.feed_1(hidden)))
        return self.feed_norm(hidden + self.dropout(inner))  # type: ignore[no-any-return]

    def empty_state(self, batch_size: int) -> SoftmaxState:
        """The state before the first event: greatest score, mass and mean (see ``running``)."""
        weight = self.gather_value.weight
        shape = (batch_size, self.num_heads, self.num_experts)
        return (
            # Finite, since saved sessions hold no infinities; with a mass of zero it has no effect.
            weight.new_full(shape, torch.finfo(weight.dtype).min),
            weight.new_zeros(shape),
            weight.new_zeros(*shape, len(weight) // self.num_heads),
        )

    def _match(self, projected: Tensor, weight: Tensor, experts: Tensor) -> Tensor:
        """Scores of projected events [..., L, D] for experts [..., K, D]: [..., L, H, K]."""
        heads = projected.view(*projected.shape[:-1], self.num_heads, -1)
        weight = weight.view(self.num_heads, -1, weight.shape[1])
        towards = torch.einsum("...lhe,hed->...lhd", heads, weight) * self.scale
        return torch.einsum("...lhd,...kd->...lhk", towards, experts)

    def _rates(self) -> Tensor | None:
        """How much an event's score falls with each later event [H, K]; None for no decay."""
        return None if self.log_rates is None else self.log_rates.exp()

    def _values(self, hidden: Tensor) -> Tensor:
        return self.gather_value(hidden).unflatten(-1, (self.num_heads, -1))  # type: ignore[no-any-return]

    def _settle(self, experts: Tensor, gathered: Tensor) -> Tensor:
        """Dropout, residual connection and LayerNorm of experts: both [..., K, D]."""
        # The same mask for all experts of a position: K masks would cost more than the attention.
        kept = self.dropout(torch.ones_like(gathered[..., :1, :]))
        return self.gather_norm(experts + kept * gathered)  # type: ignore[no-any-return]
