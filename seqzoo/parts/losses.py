"""Losses of the heads: each maps ``hidden [M, D], table [V + 1, D], targets [M]`` to a scalar.

Row 0 of the table is padding: it is never a target and never drawn as a negative. K is the number
of negatives.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops import linear_cross_entropy
from seqzoo.parts.config import (
    CrossEntropyConfig,
    GeneralisedBceConfig,
    NegativesConfig,
    SampledSoftmaxConfig,
)

__all__ = [
    "BayesianPersonalisedRanking",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "GeneralisedBinaryCrossEntropy",
    "Loss",
    "SampledSoftmax",
]


_ROWS_PER_NEGATIVE = 32
"""Rows of the table for each negative of a target, up to which scoring all of them is faster than
collecting the negatives' vectors [M, K, D]."""


class Loss(ABC):
    """Training loss of a head whose scores are ``hidden @ table.T``."""

    samples_items = False
    """Whether it uses nothing of the table but ``len(table)`` and ``table[indices]``.

    It is then given an object that computes only those rows."""

    @abstractmethod
    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over the M targets: a scalar."""


class CrossEntropy(Loss):
    """Softmax over all V + 1 rows; padding is included, as in the published Mamba4Rec code."""

    def __init__(self, config: CrossEntropyConfig) -> None:
        self.label_smoothing = config.label_smoothing

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the M targets: a scalar."""
        return linear_cross_entropy(hidden, table, targets, self.label_smoothing)


class SampledSoftmax(Loss):
    """Softmax over the target and uniformly drawn negatives.

    By default all targets of a batch share one set of negatives, and each negative represents
    V / K items: the log of that is added to its score (logQ correction, Bengio and Senecal 2008).
    ``share``, ``correction`` and ``mask_target`` give the losses of HSTU (arXiv 2402.17152) and
    eSASRec (blondered/transformer_benchmark); see ``SampledSoftmaxConfig``.
    """

    samples_items = True

    def __init__(self, config: SampledSoftmaxConfig) -> None:
        self.negatives = config.negatives
        self.shared = config.share == "batch"
        self.corrected = config.correction == "logq"
        self.mask_target = config.mask_target

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over 1 + K scores: a scalar."""
        items = len(table) - 1
        shape = (self.negatives,) if self.shared else (len(targets), self.negatives)
        drawn = torch.randint(1, items + 1, shape, device=hidden.device)
        positive = (hidden * table[targets]).sum(-1, keepdim=True)
        negative = hidden @ table[drawn].T if self.shared else _scores(hidden, table, drawn)
        if self.corrected:
            negative = negative + torch.log(torch.tensor(items / self.negatives)).to(hidden)
        if self.mask_target:
            negative = negative.masked_fill(drawn == targets[:, None], -torch.inf)
        scores = torch.cat([positive, negative], dim=1)
        return functional.cross_entropy(scores, torch.zeros_like(targets))


def _scores(hidden: Tensor, table: Tensor, items: Tensor) -> Tensor:
    """Scores of the items [M, K] of each row of ``hidden`` [M, D]: [M, K]."""
    count, width = items.shape[1], hidden.shape[1]
    few = len(table) <= count * min(_ROWS_PER_NEGATIVE, width)
    if few and not getattr(table, "sparse", False):
        every = table[torch.arange(len(table), device=items.device)]
        return (hidden @ every.T).gather(1, items)
    return torch.einsum("md,mkd->mk", hidden, table[items])


def _scores_with_negatives(
    hidden: Tensor, table: Tensor, targets: Tensor, negatives: int
) -> tuple[Tensor, Tensor]:
    """Scores of the targets [M], and of negatives drawn for each from the other items [M, K]."""
    shape = (len(targets), negatives)
    drawn = torch.randint(1, len(table) - 1, shape, device=hidden.device)
    # Skipping over the target keeps the draw uniform over the other V - 1 items.
    drawn = drawn + (drawn >= targets[:, None])
    return (hidden * table[targets]).sum(-1), _scores(hidden, table, drawn)


class BinaryCrossEntropy(Loss):
    """BCE with negatives drawn for each target (SASRec, arXiv 1808.09781, section III-F)."""

    samples_items = True

    def __init__(self, config: NegativesConfig) -> None:
        self.negatives = config.negatives

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean over targets of the positive term plus the sum of the K negative terms: a scalar."""
        positive, negative = _scores_with_negatives(hidden, table, targets, self.negatives)
        return (functional.softplus(-positive) + functional.softplus(negative).sum(-1)).mean()


class GeneralisedBinaryCrossEntropy(Loss):
    """gBCE: BCE with the positive's probability to the power beta (gSASRec, arXiv 2308.07192).

    With k negatives, alpha = k / (V - 1) and beta = 1 - t (1 - alpha) (equation 15), the loss of a
    target is ``(beta softplus(-positive) + sum_j softplus(negative_j)) / (k + 1)``: as in the
    authors' code the mean over the positive and the k negatives. Ours is ``balanced_start``, a
    constant that is added to all scores.
    """

    samples_items = True

    def __init__(self, config: GeneralisedBceConfig) -> None:
        self.negatives = config.negatives
        self.calibration = config.calibration
        self.balanced_start = config.balanced_start

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean over the targets and the 1 + K terms of each: a scalar."""
        positive, negative = _scores_with_negatives(hidden, table, targets, self.negatives)
        alpha = min(1.0, self.negatives / (len(table) - 2))
        beta = 1.0 - self.calibration * (1.0 - alpha)
        if self.balanced_start:
            offset = math.log(beta / self.negatives)
            positive, negative = positive + offset, negative + offset
        total = beta * functional.softplus(-positive) + functional.softplus(negative).sum(-1)
        return total.mean() / (self.negatives + 1)


class BayesianPersonalisedRanking(Loss):
    """BPR: the target should score higher than each negative (arXiv 1205.2618, equation 4)."""

    samples_items = True

    def __init__(self, config: NegativesConfig) -> None:
        self.negatives = config.negatives

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean over targets and negatives: a scalar."""
        positive, negative = _scores_with_negatives(hidden, table, targets, self.negatives)
        return functional.softplus(negative - positive[:, None]).mean()
