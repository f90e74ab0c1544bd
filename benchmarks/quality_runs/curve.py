"""The learning curve of one run: seconds of training alone, and the metric after each epoch.

Used in the environment of each library; needs nothing but Python.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Curve:
    """Prints one JSON line for each epoch and says when to stop.

    Args:
        epochs: maximum number of epochs.
        target: validation NDCG@10 at which a run stops; None for none.
    """

    def __init__(self, epochs: int, target: float | None) -> None:
        self.epochs, self.target = epochs, target
        self.epoch, self.seconds, self.cpu_seconds = 0, 0.0, 0.0

    @contextmanager
    def training(self) -> Iterator[None]:
        """Count the time of this block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.add(time.perf_counter() - wall, time.process_time() - cpu)

    def add(self, seconds: float, cpu_seconds: float) -> None:
        """Count wall time and CPU time."""
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds

    def finished(self, value: float) -> bool:
        """An epoch is over and its validation NDCG@10 is ``value``; whether the run is over."""
        self.epoch += 1
        record = {
            "epoch": self.epoch,
            "ndcg@10": value,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }
        print(json.dumps(record), flush=True)
        reached = self.target is not None and value >= self.target
        return reached or self.epoch >= self.epochs


def arguments() -> argparse.Namespace:
    """What every run is given by ``time_to_quality.py``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="user,item,timestamp as CSV")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--target", type=float)
    parser.add_argument("--length", type=int, required=True, help="maximum sequence length")
    parser.add_argument("--architecture", help="of seqzoo")
    return parser.parse_args()
