"""The FMLP-Rec backbone: learned filters in the frequency domain (arXiv 2202.13556).

Shapes in brackets: B histories, M slots, F = M // 2 + 1 frequencies, D width.
"""

import torch
from torch import Tensor, nn

from seqzoo.parts.layers import INITIAL_STD
from seqzoo_filters.backbone import FilterBackbone, FilterBlock, feed_forward
from seqzoo_filters.config import FMLPConfig
from seqzoo_filters.frequencies import kernel_of, multiply_spectrum

__all__ = ["FMLP", "FMLPBlock"]


class FMLPBlock(FilterBlock):
    """A learned filter for every channel, and a feed-forward layer.

    ``F = LN(Dropout(irfft(rfft(X) * W)) + X)`` with complex W, then the feed-forward layer.
    """

    def __init__(self, config: FMLPConfig) -> None:
        super().__init__()
        frequencies = config.max_length // 2 + 1
        self.factors = nn.Parameter(torch.empty(frequencies, config.hidden_size, 2))
        nn.init.normal_(self.factors, 0.0, INITIAL_STD)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.feed_forward = feed_forward(config)

    def forward(self, window: Tensor, filled: Tensor) -> Tensor:
        """All slots: [B, M, D] -> [B, M, D]; empty slots are filtered like the others."""
        return self._finish(multiply_spectrum(window, self.factors), window)

    def last(self, window: Tensor, filled: Tensor) -> Tensor:
        """Only the last slot, as one weighted sum: [B, M, D] -> [B, D]."""
        weights = kernel_of(self.factors, window.shape[1]).flip(0)
        return self._finish(torch.einsum("md,bmd->bd", weights, window), window[:, -1])

    def _finish(self, filtered: Tensor, hidden: Tensor) -> Tensor:
        return self.feed_forward(self.norm(self.dropout(filtered) + hidden))  # type: ignore[no-any-return]


class FMLP(FilterBackbone):
    """A stack of learned filters."""

    def __init__(self, config: FMLPConfig) -> None:
        super().__init__(config, (FMLPBlock(config) for _ in range(config.num_layers)))
