"""Kernels that several plugins share, each with a pure-PyTorch implementation that is the truth."""

from seqzoo.ops.causal_convolution import causal_convolution
from seqzoo.ops.linear_cross_entropy import linear_cross_entropy
from seqzoo.ops.selective_scan import selective_scan, selective_scan_last
from seqzoo.ops.ssd import ssd, ssd_last

__all__ = [
    "causal_convolution",
    "linear_cross_entropy",
    "selective_scan",
    "selective_scan_last",
    "ssd",
    "ssd_last",
]
