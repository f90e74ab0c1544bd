"""HR, NDCG and MRR of ``seqzoo.evaluate`` and of ranks, against trec_eval by pytrec_eval."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import seqzoo
from seqzoo.evaluation.metrics import hit, mrr, ndcg
from seqzoo.evaluation.ranks import Ranks
from seqzoo.interfaces import Head

pytestmark = pytest.mark.slow

CUTOFFS = (5, 10, 20, 50)
METRICS = {"hit": hit, "ndcg": ndcg, "mrr": mrr}
TOLERANCE = 1e-9
"""Both compute in float64."""


@pytest.fixture
def trec_eval(ask):
    """A function: scores [U, V], NaN for items that are not candidates, and targets to metrics."""

    def trec_eval(scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
        given = {"scores": scores, "targets": targets}
        return ask("pytrec-eval", "trec_eval.py", "averaged_over_ties", given)

    return trec_eval


@pytest.mark.parametrize("levels", [None, 40, 3, 1])
def test_metrics_of_random_scores(levels, trec_eval):
    """With few distinct scores most targets are tied; with one, all items are."""
    generator = torch.Generator().manual_seed(0)
    users, items = 60, 80
    scores = torch.rand(users, items, generator=generator)
    if levels:
        scores = (scores * levels).floor()
    targets = torch.randint(0, items, (users,), generator=generator)
    wanted = scores.gather(1, targets[:, None])
    ranks = Ranks(
        (scores > wanted).sum(1).numpy(), (scores == wanted).sum(1).numpy(), candidates=items
    )
    expected = trec_eval(scores, targets)
    assert len(expected) == len(METRICS) * len(CUTOFFS)
    for name, gain in METRICS.items():
        for cutoff in CUTOFFS:
            theirs = expected[f"{name}@{cutoff}"].numpy()
            np.testing.assert_allclose(ranks.mean_gain(gain, cutoff), theirs, 0, TOLERANCE)


class Rounded(Head):
    """A head whose scores are rounded, so that many are equal."""

    def __init__(self, head: nn.Module, step: float) -> None:
        super().__init__()
        self.head, self.step = head, step

    def forward(self, hidden: Tensor) -> Tensor:
        return (self.head(hidden) / self.step).round()

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError


def histories_of(table: pl.DataFrame, minimum: int = 5) -> list[list[str]]:
    """The 5-core in order of time, then of the rows, written down independently of seqzoo."""
    rows = [(str(user), str(item), float(time)) for user, item, time in table.rows()]
    while True:
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        kept = [row for row in rows if users[row[0]] >= minimum and items[row[1]] >= minimum]
        if len(kept) == len(rows):
            break
        rows = kept
    histories: dict[str, list[str]] = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        histories.setdefault(user, []).append(item)
    return list(histories.values())


@pytest.mark.parametrize("step", [None, 0.05])
@pytest.mark.parametrize("protocol", ["loo-full", "loo-full-unseen"])
def test_evaluation_on_movielens(protocol, step, real_data, trec_eval, record_property):
    """All users and items, from raw interactions to the mean metrics."""
    folder = real_data("ml-100k")
    # Scores depend on the size of the batch by rounding, which is far below float32 here.
    model = seqzoo.load("sasrec-ml100k").double()
    if step:
        model.head = Rounded(model.head, step)
    found = seqzoo.evaluate(model, folder, protocol=protocol)

    table = pl.read_csv(folder / "ml-100k.inter", separator="\t")
    columns = [next(c for c in table.columns if c.startswith(n)) for n in ("user", "item", "time")]
    histories = histories_of(table.select(columns))
    assert len(histories) == found.users
    place = {item: index for index, item in enumerate(model.vocabulary.items, 1)}
    scores, targets = [], []
    for *history, target in histories:
        with torch.no_grad():
            row = model.head(model.encode([history], on_unknown="error"))[0].float().clone()
        row[0] = torch.nan
        if protocol == "loo-full-unseen":
            value = row[place[target]].clone()
            row[[place[item] for item in history]] = torch.nan
            row[place[target]] = value
        scores.append(row)
        targets.append(place[target])
    expected = trec_eval(torch.stack(scores), torch.tensor(targets))
    differences = {
        key: abs(found.metrics[key] - float(value.mean())) for key, value in expected.items()
    }
    assert differences.keys() == found.metrics.keys()
    record_property("largest difference", f"{max(differences.values()):.1e}")
    assert max(differences.values()) <= TOLERANCE, differences
