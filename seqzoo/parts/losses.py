"""Losses of the heads: each maps ``hidden [M, D], table [V + 1, D], targets [M]`` to a scalar.

Row 0 of the table is padding: it is never a target and never drawn as a negative.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops import linear_cross_entropy
from seqzoo.parts.config import CrossEntropyConfig, GeneralisedBceConfig, NegativesConfig


class Loss(ABC):
    """What a head is trained with; ``hidden @ table.T`` are the scores."""

    @abstractmethod
    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over the M targets: scalar."""


class CrossEntropy(Loss):
    """Full softmax over all V + 1 rows, padding included as in the published Mamba4Rec code."""

    def __init__(self, config: CrossEntropyConfig) -> None:
        self.label_smoothing = config.label_smoothing

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy: scalar."""
        return linear_cross_entropy(hidden, table, targets, self.label_smoothing)


class SampledSoftmax(Loss):
    """Softmax over the target and negatives shared by the batch, with the logQ correction.

    Negatives are uniform, so each stands for V / negatives items: its score gains the log of that
    (Bengio and Senecal 2008). A negative that equals the target is left out for that row.
    """

    def __init__(self, config: NegativesConfig) -> None:
        self.negatives = config.negatives

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over 1 + negatives scores: scalar."""
        items = len(table) - 1
        drawn = torch.randint(1, items + 1, (self.negatives,), device=hidden.device)
        positive = (hidden * table[targets]).sum(-1, keepdim=True)
        correction = torch.log(torch.tensor(items / self.negatives))
        negative = hidden @ table[drawn].T + correction.to(hidden)
        negative = negative.masked_fill(drawn == targets[:, None], -torch.inf)
        scores = torch.cat([positive, negative], dim=1)
        return functional.cross_entropy(scores, torch.zeros_like(targets))


def _scores_with_negatives(
    hidden: Tensor, table: Tensor, targets: Tensor, negatives: int
) -> tuple[Tensor, Tensor]:
    """Scores of the targets [M] and of negatives drawn for each of them [M, negatives]."""
    shape = (len(targets), negatives)
    drawn = torch.randint(1, len(table) - 1, shape, device=hidden.device)
    # Skipping over the target keeps the draw uniform over the other V - 1 items.
    drawn = drawn + (drawn >= targets[:, None])
    positive = (hidden * table[targets]).sum(-1)
    return positive, torch.einsum("md,mkd->mk", hidden, table[drawn])


class BinaryCrossEntropy(Loss):
    """BCE with negatives drawn for each target (SASRec, arXiv 1808.09781, section III-F)."""

    def __init__(self, config: NegativesConfig) -> None:
        self.negatives = config.negatives

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean over targets of the positive term plus the sum of the negative terms: scalar."""
        positive, negative = _scores_with_negatives(hidden, table, targets, self.negatives)
        return (functional.softplus(-positive) + functional.softplus(negative).sum(-1)).mean()


class GeneralisedBinaryCrossEntropy(Loss):
    """gBCE: the positive's probability to the power beta (gSASRec, arXiv 2308.07192, eq. 15)."""

    def __init__(self, config: GeneralisedBceConfig) -> None:
        self.negatives = config.negatives
        self.calibration = config.calibration

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean over targets: scalar."""
        positive, negative = _scores_with_negatives(hidden, table, targets, self.negatives)
        alpha = min(1.0, self.negatives / (len(table) - 2))
        beta = alpha * (self.calibration * (1.0 - 1.0 / alpha) + 1.0 / alpha)
        return (
            beta * functional.softplus(-positive) + functional.softplus(negative).sum(-1)
        ).mean()


class BayesianPersonalisedRanking(Loss):
    """BPR: the target's score above that of each negative (arXiv 1205.2618, eq. 4)."""

    def __init__(self, config: NegativesConfig) -> None:
        self.negatives = config.negatives

    def __call__(self, hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Mean over targets and negatives: scalar."""
        positive, negative = _scores_with_negatives(hidden, table, targets, self.negatives)
        return functional.softplus(negative - positive[:, None]).mean()
