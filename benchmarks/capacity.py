"""What a user costs: CPU time of one core and memory, by architecture and catalogue.

CPU time is that of one thread, so other programs change it less than they change wall-clock
time. Models have default settings and random weights: the work does not depend on the values.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import seqzoo
from seqzoo.model.sequence_model import SequenceModel

ARCHITECTURES = ("gru4rec", "mamba4rec", "tim4rec", "sasrec", "narm", "elastic")
CATALOGUES = (10_000, 100_000, 1_000_000)
LENGTH, USERS, K = 50, 256, 10


def processor(call: Callable[[], object], turns: int) -> float:
    """Median CPU time of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(turns):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return statistics.median(times)


def measure(model: SequenceModel, turns: int) -> dict[str, float]:
    """Seconds of a user and bytes of a session."""
    chance = np.random.default_rng(0)
    items = model.vocabulary.items
    histories = [
        [items[at] for at in row] for row in chance.integers(0, len(items), (USERS, LENGTH))
    ]
    times = [list(range(LENGTH))] * USERS
    sessions = model.sessions()
    users = [str(number) for number in range(USERS)]
    for step in range(LENGTH):
        sessions.observe([(u, h[step], step) for u, h in zip(users, histories, strict=True)])
    clock = LENGTH

    def observe() -> None:
        nonlocal clock
        clock += 1
        at = clock % LENGTH
        sessions.observe([(u, h[at], clock) for u, h in zip(users, histories, strict=True)])

    many = processor(lambda: model.recommend_many(histories, K, timestamps=times), turns)
    few = [(history, times[0]) for history in histories[:8]]
    one = processor(lambda: [model.recommend(h, K, timestamps=t) for h, t in few], turns)
    event = processor(observe, turns)
    table = model.embedder.item_table
    return {
        "file": many / USERS,
        "request": one / len(few),
        "event": event / USERS,
        "session_bytes": sessions.state_bytes / USERS,
        "table_bytes": table.numel() * table.element_size(),
    }


def main() -> None:
    """Measure all, and print one line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--catalogues", nargs="+", type=int, default=list(CATALOGUES))
    parser.add_argument("--json", action="store_true", help="one JSON line for each comparison")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.json:
        print(f"{K} items after histories of {LENGTH} events; one core; {USERS} users at once")
        print("| architecture | items | file, users/s | requests/s | events/s | session | table |")
        print("|---|---:|---:|---:|---:|---:|---:|")
    for name in options.architectures:
        for count in options.catalogues:
            torch.manual_seed(0)
            found = measure(seqzoo.create(name, num_items=count).eval(), options.turns)
            if options.json:
                print(json.dumps({"architecture": name, "items": count, **found}), flush=True)
                continue
            rates = [f"{1 / found[each]:,.0f}" for each in ("file", "request", "event")]
            sizes = f"{found['session_bytes']:,.0f} B | {found['table_bytes'] / 1e6:,.0f} MB"
            print(f"| `{name}` | {count:,} | {' | '.join(rates)} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
