"""A second implementation of evaluation, in plain loops over users, items and ranks."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from seqzoo.data.interactions import Interactions
from seqzoo.data.synthetic import synthetic
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.interfaces import Head, SequenceBatch
from seqzoo.model.sequence_model import SequenceModel

CUTOFFS = (5, 10, 20, 50)

Histories = Mapping[str, Sequence[str]]


@pytest.fixture(scope="session")
def interactions() -> Interactions:
    """100 users; many repeat an item, most are longer than the windows of the models here."""
    return synthetic(users=100, items=60, mean_length=15)


def plain_histories(interactions: Interactions, minimum: int = 1) -> dict[str, list[str]]:
    """Each user's items by time, ties by row, after the k-core filter: users by first row."""
    rows = list(interactions.frame.iter_rows())
    while True:
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        kept = [row for row in rows if users[row[0]] >= minimum and items[row[1]] >= minimum]
        if len(kept) == len(rows):
            break
        rows = kept
    events = defaultdict(list)
    for number, (user, item, when) in enumerate(rows):
        events[user].append((when, number, item))
    return {user: [item for _, _, item in sorted(events[user])] for user in events}


class Scorer(Head):
    """A head that only scores."""

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError


class Coarse(Scorer):
    """A head's scores in a few steps, so that there are ties everywhere."""

    def __init__(self, head: nn.Module, steps: float) -> None:
        super().__init__()
        self.head, self.steps = head, steps

    def forward(self, hidden: Tensor) -> Tensor:
        return (self.head(hidden) * self.steps).round() / self.steps


@pytest.fixture(scope="session")
def make() -> Callable[..., SequenceModel]:
    """A model with weights far from zero, in float64, for the items of some histories."""

    def make(
        histories: Histories, architecture: str = "sasrec", coarse: float = 0.0, **settings: object
    ) -> SequenceModel:
        torch.manual_seed(1)
        items = sorted({item for history in histories.values() for item in history})
        settings = {"hidden_size": 16, "max_length": 7, **settings}
        model = SequenceModel.build(architecture, settings, Vocabulary(items)).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
        if coarse:
            model.head = Coarse(model.head, coarse)
        return model

    return make


@torch.inference_mode()
def plain_ranks(
    model: SequenceModel, histories: Histories, *, remove_seen: bool, window: int, held_out: int = 1
) -> list[tuple[int, int, int] | None]:
    """(better, tied, candidates) of each user's item ``held_out`` positions from the end.

    None where the model does not know that item or nothing of what is before it: a miss.
    """
    model.eval()
    results: list[tuple[int, int, int] | None] = []
    for history in histories.values():
        if len(history) < 3:
            continue
        *before, target = history[: len(history) + 1 - held_out]
        before = [item for item in before if item in model.vocabulary]
        if target not in model.vocabulary or not before:
            results.append(None)
            continue
        indices = [model.vocabulary.index(item) for item in before[-window:]]
        batch = SequenceBatch(torch.tensor([indices]), torch.tensor([len(indices)]))
        # Ranks are taken on scores in float32.
        scores = model.head(model.last(batch)).float()[0].tolist()
        wanted = scores[model.vocabulary.index(target)]
        better = tied = candidates = 0
        for item in model.vocabulary.items:
            if remove_seen and item in before and item != target:
                continue
            score = scores[model.vocabulary.index(item)]
            candidates += 1
            better += score > wanted
            tied += score == wanted
        results.append((better, tied, candidates))
    return results


GAINS = {
    "hit": lambda rank: 1.0,
    "ndcg": lambda rank: 1.0 / math.log2(rank + 1),
    "mrr": lambda rank: 1.0 / rank,
}


def plain_metrics(ranks: list[tuple[int, int, int] | None]) -> dict[str, float]:
    """Means over users; a tie takes each of its ranks equally often, a miss is 0."""
    metrics = {}
    for name, gain in GAINS.items():
        for cutoff in CUTOFFS:
            total = 0.0
            for better, tied, _ in filter(None, ranks):
                possible = range(better + 1, better + tied + 1)
                total += sum(gain(rank) for rank in possible if rank <= cutoff) / tied
            metrics[f"{name}@{cutoff}"] = total / len(ranks)
    return metrics


@pytest.fixture(scope="session")
def plain() -> type:
    """The three functions above, by short names."""

    class Plain:
        histories = staticmethod(plain_histories)
        ranks = staticmethod(plain_ranks)
        metrics = staticmethod(plain_metrics)

    return Plain
