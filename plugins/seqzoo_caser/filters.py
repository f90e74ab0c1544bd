"""Caser's filters, for all windows of a sequence at once.

Convolutional layers of arXiv 1809.07426. Shapes in brackets: B sequences, T events, W events of a
window, S = T - W + 1 windows of a sequence, D width, F features of a window.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Filters"]


class Filters(nn.Module):
    """Vertical and horizontal filters with max-pooling: [B, T, D] -> [B, S, F].

    A vertical filter weights the events of a window, equally in every channel: D features. A
    horizontal filter of height h reads h consecutive events, and its feature is the largest value
    over their positions in the window.
    """

    def __init__(self, width: int, window: int, vertical: int, horizontal: int) -> None:
        super().__init__()
        self.window = window
        self.conv_v = nn.Conv2d(1, vertical, (window, 1))
        self.conv_h = nn.ModuleList(
            nn.Conv2d(1, horizontal, (height, width)) for height in range(1, window + 1)
        )
        self.num_features = vertical * width + horizontal * window

    def forward(self, events: Tensor) -> Tensor:
        """The features of all windows; the vertical filters' come first, filter by filter."""
        weights, bias = self.conv_v.weight[:, 0, :, 0], self.conv_v.get_parameter("bias")
        # A product with views of all windows, whose backward pass is faster than a convolution's.
        windows = events.unfold(1, self.window, 1).transpose(2, 3)
        over_channels = (weights @ windows + bias[:, None]).flatten(2)
        rows = events.transpose(1, 2)
        found = []
        for height, convolution in enumerate(self.conv_h, 1):
            weights, bias = convolution.get_parameter("weight"), convolution.get_parameter("bias")
            values = functional.conv1d(rows, weights[:, 0].transpose(1, 2), bias)
            # The maxima of the windows, each one position after the other, are a running maximum.
            found.append(functional.max_pool1d(values, self.window - height + 1, stride=1))
        # ReLU after the maximum is ReLU before it.
        over_events = torch.cat(found, dim=1).transpose(1, 2).relu()
        return torch.cat([over_channels, over_events], dim=-1)
