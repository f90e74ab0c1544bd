"""What a batch is trained on, for causal backbones and for those that are not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqzoo.data.batches import TrainingBatch
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.interfaces import Backbone, SequenceBatch
from seqzoo.model.build import Parts
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.objectives.base import Inputs
from seqzoo.objectives.rows import NextItem
from seqzoo.parts.config import NextItemConfig
from seqzoo.training.objective import ModelWithLoss

HISTORIES = SequenceBatch.from_histories([[1, 2, 3, 4], [5], [6, 7, 8]])
NEXT = torch.tensor([[2, 3, 4, 9], [6, 0, 0, 0], [7, 8, 1, 0]])


class Mean(Backbone):
    """Every position sees the whole history: training on all of them would be cheating."""

    causal = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, hidden, batch):
        mask = batch.mask[..., None]
        mean = (hidden * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        return self.mix(mean + hidden)


def make(backbone=None):
    torch.manual_seed(0)
    vocabulary = Vocabulary([str(item) for item in range(1, 10)])
    model = SequenceModel.build(
        "sasrec", {"hidden_size": 8, "max_length": 6, "num_heads": 1}, vocabulary
    )
    if backbone is not None:
        objective = NextItem(NextItemConfig(), backbone)
        parts = Parts(model.config, model.embedder, backbone, model.head, objective)
        model = SequenceModel("sasrec", parts, vocabulary)
    return model.double().eval()


def objective_of(model):
    return ModelWithLoss(model, model.objective)


def mean_loss(model, pairs):
    """Cross-entropy of (history, target) pairs, one at a time."""
    losses = []
    for history, target in pairs:
        batch = SequenceBatch.from_histories([history])
        scores = model.head(model(batch)[:, -1])
        losses.append(functional.cross_entropy(scores, torch.tensor([target])))
    return torch.stack(losses).mean()


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def test_causal_every_position_counts_once():
    model = make()
    pairs = [
        ([1], 2),
        ([1, 2], 3),
        ([1, 2, 3], 4),
        ([1, 2, 3, 4], 9),
        ([5], 6),
        ([6], 7),
        ([6, 7], 8),
        ([6, 7, 8], 1),
    ]
    expected = mean_loss(model, pairs)
    loss = objective_of(model)(Inputs(TrainingBatch(HISTORIES, NEXT)))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for got, wanted in zip(gradients(loss, model), gradients(expected, model), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


def test_not_causal_only_the_newest_event_counts():
    model = make(Mean(8))
    targets = torch.tensor([[0, 0, 0, 9], [6, 0, 0, 0], [0, 0, 1, 0]])
    expected = mean_loss(model, [([1, 2, 3, 4], 9), ([5], 6), ([6, 7, 8], 1)])
    loss = objective_of(model)(Inputs(TrainingBatch(HISTORIES, targets)))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    # Positions are not Mean's business, so its embedder's table has them only where they are.
    for got, wanted in zip(gradients(loss, model), gradients(expected, model), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backbone", [None, "mean"])
def test_positions_without_a_target_do_not_count(backbone):
    model = make(Mean(8) if backbone else None)
    targets = torch.zeros_like(NEXT)
    targets[0, 3] = 9
    loss = objective_of(model)(Inputs(TrainingBatch(HISTORIES, targets)))
    expected = mean_loss(model, [([1, 2, 3, 4], 9)])
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)


def test_a_backbone_that_is_not_causal_learns():
    model = make(Mean(8)).train()
    targets = torch.tensor([[0, 0, 0, 9], [6, 0, 0, 0], [0, 0, 1, 0]])
    objective = objective_of(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        loss = objective(Inputs(TrainingBatch(HISTORIES, targets)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
