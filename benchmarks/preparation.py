"""Time and memory of preparing interactions, read from one file and mapped from a prepared folder.

``python benchmarks/preparation.py --rows 20000000`` generates the file in a temporary folder. Each
way runs in a process of its own, whose peak memory is reported; both give the same fingerprint.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

_EVENTS_PER_USER = 50
_EVENTS_PER_ITEM = 400
_PART = 1 << 22

_WORK = """
import json, sys, time
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.prepared import write_prepared
from timing import peak

source, out = sys.argv[1:]
started = time.perf_counter()
config = DataConfig(source=source)
data = prepare(config)
if out:
    write_prepared(out, data, config)
print(json.dumps({
    "seconds": time.perf_counter() - started,
    "cpu_seconds": time.process_time(),
    "peak_gb": peak() / (1 << 30),
    "interactions": len(data.sequences.items),
    "users": len(data.users),
    "items": len(data.vocabulary),
    "fingerprint": data.fingerprint,
}))
"""


def write_interactions(path: Path, rows: int) -> None:
    """Write random interactions with ids of text, a Zipf-like catalogue and ties in time."""
    random = np.random.default_rng(0)
    users, items = max(rows // _EVENTS_PER_USER, 10), max(rows // _EVENTS_PER_ITEM, 10)
    parts = path.parent / "parts"
    parts.mkdir()
    for number, start in enumerate(range(0, rows, _PART)):
        count = min(_PART, rows - start)
        frame = pl.DataFrame(
            {
                "user": random.integers(0, users, count),
                "item": (items * random.random(count) ** 3).astype(np.int64),
                "timestamp": 1_300_000_000 + (start + np.arange(count)) * 200_000_000 // rows,
            }
        )
        frame = frame.with_columns(
            pl.format("u{}", "user").alias("user"),
            pl.format("i{}", "item").alias("item"),
            pl.col("timestamp") + pl.Series(random.integers(-86_400, 86_400, count)),
        )
        frame.write_parquet(parts / f"{number:05}.parquet")
    lazy = pl.scan_parquet(parts / "*.parquet")
    if path.suffix == ".csv":
        lazy.sink_csv(path)
    else:
        lazy.sink_parquet(path, maintain_order=True)


def measured(source: Path, out: Path | None) -> dict[str, float]:
    """The work in a process of its own."""
    command = [sys.executable, "-c", _WORK, str(source), str(out or "")]
    # With ``-c`` the folder of the process comes first among the places of imports.
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Generate a file, prepare it, and read the prepared folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000, help="number of interactions")
    parser.add_argument("--csv", action="store_true", help="a CSV file instead of Parquet")
    parser.add_argument("--json", action="store_true", help="one JSON line for each way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "events.csv" if options.csv else "events.parquet")
        started = time.perf_counter()
        write_interactions(source, options.rows)
        generated = time.perf_counter() - started
        if not options.json:
            print(f"{options.rows:,} interactions generated in {generated:.0f} s")
        ways = {
            "prepared in memory": measured(source, None),
            "prepared and written": measured(source, Path(folder, "prepared")),
            "mapped from the folder": measured(Path(folder, "prepared"), None),
        }
    assert len({way["fingerprint"] for way in ways.values()}) == 1
    for name, way in ways.items():
        if options.json:
            print(json.dumps({"way": name, **way}))
        else:
            ratio = way["seconds"] / ways["prepared in memory"]["seconds"]
            print(
                f"  {name:24} {way['seconds']:7.1f} s ({way['cpu_seconds']:.1f} s of CPU)  "
                f"{way['peak_gb']:5.2f} GB   {ratio:5.2f} x"
            )


if __name__ == "__main__":
    main()
