"""Peak memory of recommending for many users of a file, compared with a tenth of them.

Every run is a process of its own, with a small model, so that reading and writing count.
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
from timing import peak

LAYOUTS = ("events.parquet", "events.csv", "users.parquet", "users.jsonl")


def write(path: Path, users: int, events: int, items: int) -> None:
    """Random users in the layout and the format of a path; events in no order of users."""
    chance = np.random.default_rng(0)
    if path.name.startswith("events"):
        count = users * events
        # Every user once, then at random.
        more = chance.integers(0, users, count - users)
        owners = np.concatenate([np.arange(users), more])
        chance.shuffle(owners)
        frame = pl.DataFrame(
            {
                "user": owners,
                "item": chance.integers(1, items + 1, count),
                "timestamp": 1_600_000_000 + np.arange(count),
            }
        )
    else:
        lists = chance.integers(1, items + 1, (users, events))
        frame = pl.DataFrame({"user": np.arange(users), "history": lists})
        frame = frame.with_columns(pl.col("history").cast(pl.List(pl.String)))
    frame = frame.with_columns(pl.col("user").cast(pl.String))
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_ndjson(path)


def run(source: Path, out: Path, items: int) -> None:
    """Recommend for the users of a file, and print the peak of memory and the time."""
    import torch

    import seqzoo
    from seqzoo.serving.batch.run import recommend_file

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = seqzoo.create("gru4rec", num_items=items, hidden_size=16).eval()
    started = time.process_time()
    result = recommend_file(model, source, out, 10)
    print(
        json.dumps(
            {
                "users": result.users,
                "rows": result.rows,
                "peak": peak(),
                "processor": time.process_time() - started,
            }
        )
    )


def main() -> None:
    """Compare the peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10, help="of a user, on average")
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=LAYOUTS)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(Path(options.run[0]), Path(options.run[1]), options.items)
        return
    for layout in options.layouts:
        peaks = []
        for users in (options.users // 10, options.users):
            with tempfile.TemporaryDirectory() as folder:
                source, out = Path(folder) / layout, Path(folder) / "out.parquet"
                write(source, users, options.events, options.items)
                command = [sys.executable, __file__, "--items", str(options.items)]
                done = subprocess.run(
                    [*command, "--run", str(source), str(out)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                found = json.loads(done.stdout)
                assert found["users"] == users
                peaks.append(found["peak"])
                print(
                    f"{layout:16} {users:9,} users: {found['peak'] / 2**20:6.0f} MiB, "
                    f"{1e6 * found['processor'] / users:5.0f} us of CPU time per user",
                    flush=True,
                )
        print(f"{layout:16} ratio of the peaks {peaks[1] / peaks[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
