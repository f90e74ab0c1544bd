"""A training step of mamba4rec and one of sasrec, at length 200 on MovieLens-1M's catalogue."""

from length import step_of
from timing import arguments, medians, report

LENGTH, ROWS = 200, 16


if __name__ == "__main__":
    options = arguments(__doc__)
    calls = {name: step_of(name, LENGTH, ROWS) for name in ("sasrec", "mamba4rec")}
    seconds = medians(calls, options.turns)
    report(f"training step, {ROWS} x {LENGTH}", seconds, "sasrec", options.json)
