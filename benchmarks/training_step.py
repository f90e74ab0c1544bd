"""A training step of mamba4rec beside one of sasrec, at length 200 on MovieLens-1M's catalogue."""

from collections.abc import Callable

import torch
from timing import arguments, medians, report

import seqzoo
from seqzoo.interfaces import SequenceBatch

ITEMS, LENGTH, ROWS = 3416, 200, 16


def step_of(architecture: str) -> Callable[[], None]:
    """One optimizer step on a full batch, every position a target."""
    torch.manual_seed(0)
    model = seqzoo.create(architecture, num_items=ITEMS).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    items = torch.randint(1, ITEMS + 1, (ROWS, LENGTH + 1))
    batch = SequenceBatch(items[:, :-1], torch.full((ROWS,), LENGTH))
    targets = items[:, 1:].flatten()

    def step() -> None:
        loss = model.head.loss(model(batch).flatten(0, 1), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    options = arguments(__doc__)
    calls = {name: step_of(name) for name in ("sasrec", "mamba4rec")}
    seconds = medians(calls, options.turns)
    report(f"training step, {ROWS} x {LENGTH}", seconds, "sasrec", options.json)
