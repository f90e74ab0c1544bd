"""Many users at once: recommendations and evaluation, compared with a naive implementation.

``plain`` pads all histories to the maximum length, computes every position of batches of 256,
scores all items and sorts them. It returns the same items and the same metric. Histories are
generated, with the lengths of a geometric distribution; the models have random weights.
"""

from collections.abc import Callable

import numpy as np
import torch
from timing import arguments, medians, report

import seqzoo
from seqzoo.data.build import build_sequences
from seqzoo.data.synthetic import synthetic
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.evaluation.ranks import gains_by_user, means
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel

ITEMS, USERS, EVENTS, LENGTH, K, ROWS = 3416, 1000, 165, 200, 10, 256
NAMES = ("gru4rec", "mamba4rec", "tim4rec", "sasrec")


@torch.inference_mode()
def plain_scores(
    model: SequenceModel, histories: list[list[int]], times: list[list[int]]
) -> list[torch.Tensor]:
    """Scores of all items, batch by batch, with seen items and padding removed."""
    found = []
    for first in range(0, len(histories), ROWS):
        rows = histories[first : first + ROWS]
        newest = [row[-LENGTH:] for row in rows]
        items = torch.zeros(len(rows), LENGTH, dtype=torch.int64)
        stamps = torch.zeros(len(rows), LENGTH, dtype=torch.int64)
        for number, row in enumerate(newest):
            items[number, : len(row)] = torch.tensor(row)
            stamps[number, : len(row)] = torch.tensor(times[first + number][-LENGTH:])
        batch = SequenceBatch(items, torch.tensor([len(row) for row in newest]), stamps)
        scores = model.head(batch.gather_last(model(batch)))
        for number, row in enumerate(rows):
            scores[number, row] = -torch.inf
        scores[:, 0] = -torch.inf
        found.append(scores)
    return found


def recommendations(model: SequenceModel, seed: int) -> dict[str, Callable[[], object]]:
    """The best items of users with 200 events each."""
    random = np.random.default_rng(seed)
    indices = random.integers(1, ITEMS + 1, (USERS, LENGTH)).tolist()
    times = [list(range(LENGTH))] * USERS
    histories = [[str(item) for item in row] for row in indices]

    def plain() -> object:
        return [
            scores.sort(dim=1, descending=True)[1][:, :K].tolist()
            for scores in plain_scores(model, indices, times)
        ]

    return {
        "plain": plain,
        "recommend_many": lambda: model.recommend_many(histories, K, timestamps=times),
    }


def evaluations(architecture: str) -> dict[str, Callable[[], float]]:
    """NDCG@10 of held-out items, seen items removed."""
    data = build_sequences(synthetic(USERS, ITEMS, EVENTS, seed=0))
    torch.manual_seed(0)
    model = SequenceModel.build(architecture, {"max_length": LENGTH}, data.vocabulary).eval()
    protocol = get_protocol("loo-full-unseen")
    held_out = hold_out(data, model.vocabulary, split_of(protocol))
    split, sequences = held_out.split, held_out.sequences
    assert sequences.timestamps is not None
    ranges = [slice(*ends) for ends in zip(split.history_start, split.history_end, strict=True)]
    histories = [sequences.items[each].tolist() for each in ranges]
    times = [sequences.timestamps[each].tolist() for each in ranges]
    targets = torch.from_numpy(sequences.items[split.target].astype(np.int64))

    def plain() -> float:
        gains = []
        for number, scores in enumerate(plain_scores(model, histories, times)):
            wanted = targets[number * ROWS : number * ROWS + len(scores)]
            # A target that is also in the history stays a candidate.
            order = scores.sort(dim=1, descending=True)[1]
            ranks = (order == wanted[:, None]).int().argmax(dim=1) + 1
            gains.append(torch.where(ranks <= K, 1 / torch.log2(ranks + 1.0), 0.0))
        return float(torch.cat(gains).mean())

    def ours() -> float:
        (gains,) = gains_by_user(model, held_out, [protocol])
        return means(gains)[f"ndcg@{K}"]

    return {"plain": plain, "evaluate": ours}


if __name__ == "__main__":
    options = arguments(__doc__)
    for name in NAMES:
        torch.manual_seed(0)
        fresh = seqzoo.create(name, num_items=ITEMS, max_length=LENGTH).eval()
        seconds = medians(recommendations(fresh, 0), options.turns)
        title = f"{name}: recommendations for {USERS:,} users with {LENGTH} events"
        report(title, seconds, "plain", options.json)
    for name in NAMES:
        seconds = medians(evaluations(name), options.turns)
        report(f"{name}: evaluation of {USERS:,} users", seconds, "plain", options.json)
