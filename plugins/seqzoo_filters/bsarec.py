"""The BSARec backbone: attention and a frequency filter in parallel (arXiv 2312.10325).

Shapes in brackets: B histories, M slots, H heads, D width.
"""

import torch
from torch import Tensor, nn

from seqzoo.ops.exporting import each, exporting
from seqzoo.parts.layers import SelfAttention
from seqzoo_filters.backbone import FilterBackbone, FilterBlock, feed_forward
from seqzoo_filters.config import BSARecConfig
from seqzoo_filters.frequencies import low_pass_basis

__all__ = ["BSARec", "BSARecBlock", "FrequencyFilter", "SlotAttention"]


class FrequencyFilter(nn.Module):
    """Keeps low frequencies as they are and scales high ones, with residual and LayerNorm.

    ``LN(Dropout(low + sqrt_beta^2 * (X - low)) + X)``, where ``low`` is X without the frequencies
    above ``cutoff // 2``.
    """

    def __init__(self, config: BSARecConfig) -> None:
        super().__init__()
        self.highest = config.cutoff // 2
        # The published code draws it from N(0, 1): the scale of high frequencies is 1 on average.
        self.sqrt_beta = nn.Parameter(torch.randn(config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, window: Tensor) -> Tensor:
        """All slots: [B, M, D] -> [B, M, D]."""
        basis = low_pass_basis(window.shape[1], self.highest, window)
        return self._finish(basis @ (basis.T @ window), window)

    def last(self, window: Tensor) -> Tensor:
        """Only the last slot, as one weighted sum: [B, M, D] -> [B, D]."""
        basis = low_pass_basis(window.shape[1], self.highest, window)
        return self._finish((basis @ basis[-1]) @ window, window[:, -1])

    def _finish(self, low: Tensor, hidden: Tensor) -> Tensor:
        filtered = low + self.sqrt_beta.square() * (hidden - low)
        return self.norm(self.dropout(filtered) + hidden)  # type: ignore[no-any-return]


class SlotAttention(SelfAttention):
    """Self-attention of an event to itself and the events before it."""

    def forward(self, window: Tensor, filled: Tensor) -> Tensor:
        """All slots: [B, M, D], [B, M] -> [B, M, D].

        An event reads the events up to itself. An empty slot reads all slots: the published code
        subtracts the same large number from all its scores, which the softmax does not see. Its
        result counts, because the next filter reads it.
        """
        if exporting():
            # All pairs of slots of all histories at once would take gigabytes.
            return each(lambda now: self._all(now[0][None], now[1][None])[0], (window, filled))
        return self._all(window, filled)

    def _all(self, window: Tensor, filled: Tensor) -> Tensor:
        slots = window.shape[1]
        earlier = torch.ones(slots, slots, dtype=torch.bool, device=window.device).tril()
        allowed = (filled[:, None] & earlier) | ~filled[:, :, None]
        return self.attend(window, window, allowed[:, None])

    def last(self, window: Tensor, filled: Tensor) -> Tensor:
        """Only the last slot, which holds an event: [B, M, D], [B, M] -> [B, D]."""
        return self.attend(window[:, -1:], window, filled[:, None, None])[:, 0]


class BSARecBlock(FilterBlock):
    """``FFN(alpha * filter + (1 - alpha) * attention)``; both read the same input."""

    def __init__(self, config: BSARecConfig) -> None:
        super().__init__()
        self.alpha = config.alpha
        self.filter = FrequencyFilter(config)
        self.attention = SlotAttention(
            config.hidden_size,
            config.num_heads,
            config.dropout,
            config.attention_dropout,
            config.norm_eps,
        )
        self.feed_forward = feed_forward(config)

    def forward(self, window: Tensor, filled: Tensor) -> Tensor:
        """All slots: [B, M, D] -> [B, M, D]."""
        return self._finish(self.filter(window), self.attention(window, filled))

    def last(self, window: Tensor, filled: Tensor) -> Tensor:
        """Only the last slot: [B, M, D] -> [B, D]."""
        return self._finish(self.filter.last(window), self.attention.last(window, filled))

    def _finish(self, filtered: Tensor, attended: Tensor) -> Tensor:
        mixed = self.alpha * filtered + (1.0 - self.alpha) * attended
        return self.feed_forward(mixed)  # type: ignore[no-any-return]


class BSARec(FilterBackbone):
    """A stack of blocks with a frequency filter and self-attention side by side."""

    def __init__(self, config: BSARecConfig) -> None:
        super().__init__(config, (BSARecBlock(config) for _ in range(config.num_layers)))
