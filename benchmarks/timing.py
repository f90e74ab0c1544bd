"""Compare things in one run: they take turns, and the ratio of their medians is the result.

Absolute times drift from machine to machine and from hour to hour; a ratio of turns taken within
seconds of each other does not.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping

import torch


def medians(calls: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each call over ``turns`` rounds, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def report(title: str, seconds: Mapping[str, float], peer: str, as_json: bool) -> None:
    """Print each median and its ratio to the peer's."""
    ratios = {name: value / seconds[peer] for name, value in seconds.items()}
    if as_json:
        print(json.dumps({"title": title, "peer": peer, "seconds": seconds, "ratios": ratios}))
        return
    print(f"{title} ({torch.get_num_threads()} threads)")
    for name, value in seconds.items():
        print(f"  {name:32} {value * 1000:9.1f} ms   {ratios[name]:5.2f} x {peer}")


def arguments(description: str | None) -> argparse.Namespace:
    """The options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="rounds that are timed")
    parser.add_argument("--json", action="store_true", help="one JSON line for each comparison")
    return parser.parse_args()
