"""A training step at growing lengths: how its cost grows, and time and memory relative to sasrec.

The first comparison takes one history of 512, 2,048 and 8,192 events: a cost that is linear in the
length grows 16 times. The second takes batches of 2,048 events. Peak memory is that of a process of
its own, less that of the same process before its first step.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable

import torch
from timing import arguments, medians, report

import seqzoo
from seqzoo.interfaces import SequenceBatch

ITEMS = 3416
LENGTHS = (512, 2048, 8192)
LINEAR = ("gru4rec", "mamba4rec", "ssd4rec", "tim4rec", "elastic", "lrurec", "fuxi-linear")
BESIDE, ROWS = 2048, 4

_MEMORY = """
import json, sys
from length import step_of
from timing import peak
name, length, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
step = step_of(name, length, rows)
before = peak()
step(); step()
print(json.dumps(peak() - before))
"""


def step_of(architecture: str, length: int, rows: int) -> Callable[[], None]:
    """One optimizer step on full histories, every position a target."""
    torch.manual_seed(0)
    model = seqzoo.create(architecture, num_items=ITEMS, max_length=length).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    items = torch.randint(1, ITEMS + 1, (rows, length + 1))
    times = torch.arange(length).expand(rows, length) * 3600
    batch = SequenceBatch(items[:, :-1], torch.full((rows,), length), times)
    targets = items[:, 1:].flatten()

    def step() -> None:
        loss = model.head.loss(model(batch).flatten(0, 1), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def peak_memory(architecture: str, length: int, rows: int, turns: int) -> float:
    """Bytes that the steps add to a process, the median of a few processes."""
    found = []
    for _ in range(turns):
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, architecture, str(length), str(rows)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))},
        )
        found.append(float(json.loads(done.stdout)))
    return statistics.median(found)


if __name__ == "__main__":
    options = arguments(__doc__)
    for name in LINEAR:
        calls = {f"{length:,} events": step_of(name, length, 1) for length in LENGTHS}
        title = f"{name}: a training step on one history"
        report(title, medians(calls, options.turns), f"{LENGTHS[0]:,} events", options.json)
    names = ("sasrec", *LINEAR)
    seconds = medians({name: step_of(name, BESIDE, ROWS) for name in names}, options.turns)
    report(f"a training step, {ROWS} x {BESIDE:,} events", seconds, "sasrec", options.json)
    memory = {name: peak_memory(name, BESIDE, ROWS, 3) for name in names}
    title = f"memory of a training step, {ROWS} x {BESIDE:,} events"
    report(title, memory, "sasrec", options.json, unit="MB", factor=1 / (1 << 20))
