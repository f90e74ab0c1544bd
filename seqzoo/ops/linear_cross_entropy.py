"""Cross-entropy over a large catalogue without storing all scores of a batch.

``cross_entropy(hidden @ table.T, targets)`` for M positions and C classes needs several matrices of
M * C values. Here rows are processed in blocks that fit the processor's cache. The gradients are
computed in the same pass, so each block of scores is computed once and dropped.
"""

from typing import Any

import torch
from torch import Tensor

from seqzoo.ops.backends import in_torch, register
from seqzoo.ops.precision import widened, without_autocast

__all__ = ["linear_cross_entropy"]

_BLOCK_ELEMENTS = 2**21
"""Number of scores in a block."""

_SAFE_SCORE = 40.0
"""Scores up to this need no shift: ``exp`` summed over any catalogue is far from overflow."""


def linear_cross_entropy(
    hidden: Tensor, table: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy of the softmax over ``hidden @ table.T``: a scalar.

    Half precision is computed in float32.

    Args:
        hidden: [M, D].
        table: one row per class [C, D].
        targets: class indices [M].
        label_smoothing: share of the target's weight that is spread evenly over all classes.
    """
    with without_autocast(hidden.device):
        loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            widened(hidden), widened(table), targets, label_smoothing
        )
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, table: Tensor, targets: Tensor, label_smoothing: float
    ) -> Tensor:
        rows, classes = len(hidden), len(table)
        block = max(64, _BLOCK_ELEMENTS // classes)
        grad_hidden, grad_table = torch.empty_like(hidden), torch.zeros_like(table)
        total = hidden.new_zeros(())
        # The largest score is at most the product of the lengths (Cauchy-Schwarz).
        largest = hidden.square().sum(1).amax() * table.square().sum(1).amax()
        shifted = not bool(largest <= _SAFE_SCORE**2)
        for start in range(0, rows, block):
            part = slice(start, start + block)
            wanted = targets[part, None]
            scores = hidden[part] @ table.T
            loss = (label_smoothing - 1.0) * scores.gather(1, wanted)
            if label_smoothing:
                loss = loss - label_smoothing * scores.mean(1, keepdim=True)
            if shifted:
                highest = scores.amax(1, keepdim=True)
                loss = loss + highest
                scores.sub_(highest)
            sums = scores.exp_().sum(1, keepdim=True)
            total += (loss + sums.log()).sum()
            # From here on the scores' gradient (softmax minus smoothed target) times the row's
            # sum: dividing the D columns of the product is cheaper than dividing C columns here.
            if label_smoothing:
                scores.sub_(label_smoothing / classes * sums)
            scores.scatter_add_(1, wanted, (label_smoothing - 1.0) * sums)
            grad_hidden[part] = (scores @ table).div_(sums)
            grad_table.addmm_(scores.T, hidden[part] / sums)
        ctx.save_for_backward(grad_hidden, grad_table)
        ctx.rows = rows
        return total / rows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_table = ctx.saved_tensors
        scale = gradients[0] / ctx.rows
        return grad_hidden * scale, grad_table * scale, None, None


register(in_torch("linear-cross-entropy", "seqzoo.ops.linear_cross_entropy:linear_cross_entropy"))
