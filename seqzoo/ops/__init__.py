"""Kernels, each with a pure-PyTorch implementation that defines its results.

Other backends must agree with that implementation; see ``seqzoo.ops.backends``. ``selective_scan``
is Mamba-1's kernel and ``ssd`` Mamba-2's; today one first-party plugin uses each. They are here so
that other plugins can use them with the same backends. ``CompiledStep`` runs the step of a backbone
for one more event, written with ``StepOperations``, in one call.

A kernel registers its backends when it is imported, so this package imports all of them.
"""

from seqzoo.ops import int8_scan as int8_scan
from seqzoo.ops import rank_counts as rank_counts
from seqzoo.ops.causal_convolution import causal_convolution
from seqzoo.ops.compiled_step import CompiledStep
from seqzoo.ops.convolved_scan import convolved_scan_last
from seqzoo.ops.feed_forward import feed_forward
from seqzoo.ops.gru import gru, gru_last
from seqzoo.ops.linear_cross_entropy import linear_cross_entropy
from seqzoo.ops.selective_scan import (
    selective_scan,
    selective_scan_last,
    selective_scan_step,
)
from seqzoo.ops.ssd import ssd, ssd_last, ssd_step
from seqzoo.ops.step_operations import StepOperations

__all__ = [
    "CompiledStep",
    "StepOperations",
    "causal_convolution",
    "convolved_scan_last",
    "feed_forward",
    "gru",
    "gru_last",
    "linear_cross_entropy",
    "selective_scan",
    "selective_scan_last",
    "selective_scan_step",
    "ssd",
    "ssd_last",
    "ssd_step",
]
