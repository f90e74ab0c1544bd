"""A catalogue of a million items: choosing the best, one training step, and a vocabulary.

Each way takes turns with the plain one: all scores at once and one sort, AdamW on the whole table,
and a dictionary of ids.
"""

from collections.abc import Callable

import torch
from timing import arguments, medians, report

import seqzoo
from seqzoo.data.item_index import HashedIndices
from seqzoo.interfaces import SequenceBatch
from seqzoo.parts.int8_index import Int8Index
from seqzoo.training.schedule import parameter_groups
from seqzoo.training.sparse import RowwiseAdamW, sparse_table

ITEMS, WIDTH, K = 1_000_000, 64, 10
ROWS, LENGTH = 16, 50


def best_of(users: int) -> dict[str, Callable[[], object]]:
    """The best items for some users."""
    torch.manual_seed(0)
    head = seqzoo.create("sasrec", num_items=ITEMS, hidden_size=WIDTH).eval().head
    hidden = torch.randn(users, WIDTH)

    @torch.inference_mode()
    def plain() -> object:
        scores = head(hidden)
        scores[:, 0] = -torch.inf
        return scores.topk(K)

    @torch.inference_mode()
    def blocks() -> object:
        return head.topk(hidden, K)

    index = Int8Index(head)

    @torch.inference_mode()
    def rounded() -> object:
        return index.topk(hidden, K)

    return {"all scores": plain, "in blocks": blocks, "index int8": rounded}


def step_of(sparse: bool) -> Callable[[], None]:
    """One optimizer step with sampled softmax."""
    torch.manual_seed(0)
    settings = {"hidden_size": WIDTH, "max_length": LENGTH, "num_layers": 1}
    model = seqzoo.create("sasrec", num_items=ITEMS, loss="sampled-softmax", **settings).train()
    groups = parameter_groups(model, 0.0)
    optimizer = (
        RowwiseAdamW(groups, sparse_table(model, 1)) if sparse else torch.optim.AdamW(groups)
    )
    items = torch.randint(1, ITEMS + 1, (ROWS, LENGTH + 1))
    batch = SequenceBatch(items[:, :-1], torch.full((ROWS,), LENGTH))
    targets = items[:, 1:].flatten()

    def step() -> None:
        model.head.loss(model(batch).flatten(0, 1), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    options = arguments(__doc__)
    for users in (1, 64):
        title = f"{K} best of {ITEMS:,} items, {users} users"
        report(title, medians(best_of(users), options.turns), "all scores", options.json)
    steps = {"whole table": step_of(False), "rows of the batch": step_of(True)}
    title = f"training step, {ITEMS:,} items, sampled softmax"
    report(title, medians(steps, options.turns), "whole table", options.json)
    ids = tuple(str(10_000_000 + number) for number in range(ITEMS))
    indices = {
        "dictionary": lambda: {item: index for index, item in enumerate(ids, start=1)},
        "sorted hashes": lambda: HashedIndices(ids),
    }
    report(f"index of {ITEMS:,} ids", medians(indices, options.turns), "dictionary", options.json)
