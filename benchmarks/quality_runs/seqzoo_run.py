"""An architecture of seqzoo with its default recipe, trained by ``seqzoo.train``."""

import tempfile
import time
from typing import Any

from curve import Curve, arguments

import seqzoo
from seqzoo.training.progress import Reporter


class Reached(Exception):  # noqa: N818
    """The target is reached, or all epochs are over."""


class Clock(Reporter):
    """Times an epoch from its start to its last batch, which leaves the validation out."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        """Start the clocks."""
        self.started = self.last = (time.perf_counter(), time.process_time())

    def batch(self, loss: float, examples_per_second: float) -> None:
        """The epoch has lasted at least until now."""
        self.last = (time.perf_counter(), time.process_time())

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Hand the validation metric over."""
        wall, cpu = (end - start for start, end in zip(self.started, self.last, strict=True))
        self.curve.add(wall, cpu)
        if self.curve.finished(record["value"]):
            raise Reached


def main() -> None:
    """Train into a temporary folder."""
    given = arguments()
    recipe = {
        "architecture": given.architecture,
        "model": {"max_length": given.length},
        "data": {"min_count": 1},
    }
    clock = Clock(Curve(given.epochs, given.target))
    with tempfile.TemporaryDirectory() as folder:
        try:
            seqzoo.train(recipe, f"{folder}/run", data=given.data, reporter=clock)
        except Reached:
            return


if __name__ == "__main__":
    main()
