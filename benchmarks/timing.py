"""Compare things in one run: they take turns, and the ratio of their medians is the result.

Absolute times drift from machine to machine and from hour to hour; a ratio of turns taken within
seconds of each other does not.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch


def medians(calls: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each call over ``turns`` rounds, after one round that is not counted."""
    times = rounds(calls, turns, time.perf_counter)
    return {name: statistics.median(values) for name, values in times.items()}


def fastest(calls: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Seconds of processor time of the fastest of ``turns`` rounds of each call.

    For calls of one thread on a machine that runs other programs too: those only add time, by what
    they push out of the processor's caches.
    """
    times = rounds(calls, turns, time.process_time)
    return {name: min(values) for name, values in times.items()}


def rounds(
    calls: Mapping[str, Callable[[], object]], turns: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each call in ``turns`` rounds, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            started = clock()
            call()
            if turn:
                times[name].append(clock() - started)
    return times


def report(
    title: str,
    values: Mapping[str, float],
    peer: str,
    as_json: bool,
    *,
    unit: str = "ms",
    factor: float = 1000,
) -> None:
    """Print each median and its ratio to the peer's.

    Args:
        title: what is compared.
        values: seconds, unless ``unit`` and ``factor`` say otherwise.
        peer: the name among ``values`` that the others are compared with.
        as_json: print one JSON line.
        unit: the unit that is printed.
        factor: converts the values to this unit.
    """
    shown = {name: value * factor for name, value in values.items()}
    ratios = {name: value / values[peer] for name, value in values.items()}
    threads = torch.get_num_threads()
    if as_json:
        line = {"title": title, "peer": peer, "unit": unit, "values": shown, "ratios": ratios}
        print(json.dumps({**line, "threads": threads}), flush=True)
        return
    print(f"{title} ({threads} threads)")
    for name, value in shown.items():
        print(f"  {name:32} {value:9.1f} {unit}   {ratios[name]:5.2f} x {peer}", flush=True)


def arguments(description: str | None, models: Sequence[str] = ()) -> argparse.Namespace:
    """The options that all benchmarks have, and ``--models`` with this default if there is one."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="rounds that are timed")
    parser.add_argument("--json", action="store_true", help="one JSON line for each comparison")
    if models:
        parser.add_argument("--models", nargs="+", default=models, help="names of checkpoints")
    return parser.parse_args()


def peak() -> int:
    """Bytes that this process has held in memory at most.

    Linux only: ``ru_maxrss`` would be portable, but a process inherits it from its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
