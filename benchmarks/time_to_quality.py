"""Training time until a validation NDCG@10, of seqzoo, RecTools and RecBole.

The target is what RecBole's SASRec has after ``--epochs`` epochs with RecBole's settings. The
others then train, each with the default settings of its library, until they have reached it. All
read the same interactions (the 5-core, in the true order of events), hold out the last two of each
user, and rank the second last among all items. Only training is timed, on the CPU. Each library
runs in an environment of its own, see ``peers.py``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from peers import PeerUnavailableError, python_of

from seqzoo.data.prepare import DataConfig, prepare

RUNS = Path(__file__).parent / "quality_runs"
LENGTH = 50
"""RecBole's default."""


def write_interactions(source: str, users: int | None, target: Path) -> None:
    """Write the 5-core as CSV.

    Timestamps are positions in the history, so that every library reads the same order; RecBole
    would round unix seconds to float32.
    """
    data = prepare(DataConfig(), source)
    lengths = data.sequences.lengths[:users]
    table = pl.DataFrame(
        {
            "user": [f"u{user}" for user, length in enumerate(lengths) for _ in range(length)],
            "item": [f"i{item}" for item in data.sequences.items[: lengths.sum()]],
            "timestamp": [place for length in lengths for place in range(1, length + 1)],
        }
    )
    table.write_csv(target)


def run(python: str | Path, script: str, threads: int, **options: Any) -> list[dict[str, Any]]:
    """The learning curve of one run."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [str(python), str(RUNS / script), *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


def contestants(length: int) -> list[tuple[str, str | Path, str, dict[str, Any]]]:
    """Title, interpreter, script and options of those who train until the target."""
    found: list[tuple[str, str | Path, str, dict[str, Any]]] = [
        (f"seqzoo {name}, length {size}", sys.executable, "seqzoo_run.py",
         {"architecture": name, "length": size})
        for name, size in (("sasrec", length), ("sasrec", 200), ("mamba4rec", 200))
    ]  # fmt: skip
    try:
        rectools = python_of("rectools")
    except PeerUnavailableError as error:
        print(f"without RecTools: {error}", file=sys.stderr)
    else:
        title = f"RecTools SASRec, length {length}"
        found.append((title, rectools, "rectools_run.py", {"length": length}))
    return found


def main() -> None:
    """Run all and print one line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="a data set's name or a path")
    parser.add_argument("--epochs", type=int, default=3, help="of RecBole; they set the target")
    parser.add_argument("--most", type=int, default=100, help="epochs that the others may take")
    parser.add_argument("--length", type=int, default=LENGTH, help="maximum sequence length")
    parser.add_argument("--users", type=int, help="only the first users, for a quick try")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON line for each run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "interactions.csv"
        write_interactions(given.data, given.users, data)
        options = {"threads": given.threads, "data": data}
        curve = run(
            python_of("recbole"),
            "recbole_run.py",
            length=given.length,
            epochs=given.epochs,
            **options,
        )
        target = curve[-1]["ndcg@10"]
        theirs = curve[-1]["cpu_seconds"]
        report(f"RecBole SASRec, length {given.length}", curve, target, theirs, given.json)
        for title, python, script, own in contestants(given.length):
            curve = run(python, script, epochs=given.most, target=target, **own, **options)
            report(title, curve, target, theirs, given.json)


def report(
    title: str, curve: list[dict[str, Any]], target: float, theirs: float, as_json: bool
) -> None:
    """Print the CPU time of a run and the ratio of RecBole's to it."""
    last = curve[-1]
    reached = last["ndcg@10"] >= target
    ratio = theirs / last["cpu_seconds"]
    if as_json:
        print(json.dumps({"title": title, "reached": reached, "ratio": ratio, "curve": curve}))
        return
    print(
        f"{title:32} {last['cpu_seconds']:9.1f} s   {last['epoch']:3} epochs   "
        f"NDCG@10 {last['ndcg@10']:.4f}{'' if reached else ' (target not reached)'}   "
        f"RecBole's time / this {ratio:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
