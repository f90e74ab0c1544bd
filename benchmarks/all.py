"""Run the benchmarks, store their results, and rewrite the page of the docs.

``python benchmarks/all.py`` runs all, ``--only length users`` some of them; ``--page`` runs none
and writes the page from the stored results. A benchmark that fails keeps its stored result.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import page
from results_file import circumstances, store
from targets import TargetError

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DATA = "ml-100k"
"""Read from the folder ``SEQZOO_DATA``, the cache or a download, as by every command of seqzoo."""


@dataclass(frozen=True)
class Benchmark:
    """A script of this folder with its options.

    Attributes:
        words: the script and its options, as typed after ``python benchmarks/``.
        threads: number of threads; 1 where the peers use one as well.
        data: whether it reads ``--data``, which is passed on.
    """

    words: tuple[str, ...]
    threads: int = 1
    data: bool = False

    def command(self, data: str) -> list[str]:
        """The words that follow ``python``."""
        return [
            f"benchmarks/{self.words[0]}",
            *self.words[1:],
            *(["--data", data] if self.data else []),
        ]


BENCHMARKS: Mapping[str, Benchmark] = {
    "kernels": Benchmark(("compute.py",)),
    "length": Benchmark(("length.py", "--turns", "3")),
    "users": Benchmark(("users.py", "--turns", "3")),
    "sessions": Benchmark(("sessions.py",)),
    "catalogue": Benchmark(("catalogue.py",)),
    "preparation": Benchmark(("preparation.py", "--rows", "20000000"), threads=2),
    "training_step": Benchmark(("training_step.py",)),
    "start": Benchmark(("start.py",)),
    "time_to_quality": Benchmark(("time_to_quality.py",), data=True),
}


def run(name: str, data: str) -> dict[str, Any]:
    """Run one benchmark: its command, the lines that it printed, and the machine."""
    chosen = BENCHMARKS[name]
    words = chosen.command(data)
    done = subprocess.run(
        [sys.executable, *words, "--json"],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(chosen.threads)},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    # A path of the data is a detail of this machine.
    shown = [*words[:-1], "PATH"] if chosen.data and data != DATA else words
    return {
        "command": f"OMP_NUM_THREADS={chosen.threads} python {' '.join(shown)}",
        **circumstances(),
        "results": lines,
    }


def main() -> int:
    """Run what was asked for; exit 1 if a benchmark failed or the page cannot be written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), help="run only these")
    parser.add_argument(
        "--data", default=DATA, help="name or path of MovieLens-100K, to train to a quality"
    )
    parser.add_argument("--page", action="store_true", help="run none, only write the page")
    options = parser.parse_args()
    failed = []
    for name in [] if options.page else options.only or BENCHMARKS:
        print(f"{name} …", file=sys.stderr)
        try:
            store(RESULTS / f"{name}.json", run(name, options.data))
        except (subprocess.CalledProcessError, json.JSONDecodeError) as error:
            failed.append(name)
            print(f"{name}: failed, its stored result stays: {error}", file=sys.stderr)
    try:
        page.write(RESULTS)
    except TargetError as error:
        print(f"the page is not written: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
