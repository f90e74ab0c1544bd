"""Metrics of the baselines on public data, for the cards and the docs.

``python benchmarks/baselines.py FOLDER`` reads the data sets in a folder and writes
``benchmarks/baselines.json``: for each data set and protocol the fingerprint of the data, the
number of test users, and each baseline's metrics at 10. It prints them as a table, with the CPU
seconds that fitting took.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.evaluation.baselines import fit_baselines
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.evaluation.ranks import gains_by_user, means

OUT = Path(__file__).parent / "baselines.json"
DATA = {
    "ml-100k": ("time-row", ["loo-full", "loo-full-unseen"]),
    "ml-1m": ("time-row", ["loo-full", "loo-full-unseen"]),
    "ml-1m, RecBole's order": ("float32-time-row", ["loo-recbole"]),
    "amazon-beauty": ("time-row", ["loo-full", "loo-full-unseen"]),
    "amazon-video-games": ("time-row", ["loo-full", "loo-full-unseen"]),
    "yoochoose-clicks": ("time-row", ["loo-full", "loo-full-unseen"]),
}


def main() -> None:
    """Measure what is asked for, and keep the rest of the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    options = parser.parse_args()
    entries = json.loads(OUT.read_text()) if OUT.exists() else []
    for name in options.data:
        order, protocols = DATA[name]
        source = str(options.folder / name.partition(",")[0])
        data = prepare(DataConfig(source=source, order=order))
        chosen = [get_protocol(protocol) for protocol in protocols]
        split = split_of(chosen[0])
        started = time.process_time()
        fitted = fit_baselines(data, split)
        seconds = time.process_time() - started
        held_out = hold_out(data, data.vocabulary, split)
        gains = {key: gains_by_user(model, held_out, chosen) for key, model in fitted.items()}
        sys.stderr.write(f"{name}: {seconds:.1f} CPU seconds for {', '.join(fitted)}\n")
        for index, protocol in enumerate(protocols):
            values = {
                key: {k: round(v, 4) for k, v in means(own[index]).items() if k.endswith("@10")}
                for key, own in gains.items()
            }
            entry = {
                "data": name,
                "protocol": protocol,
                "fingerprint": data.fingerprint,
                "users": held_out.users,
                "baselines": values,
            }
            known = [(each["data"], each["protocol"]) for each in entries]
            if (name, protocol) in known:
                entries[known.index((name, protocol))] = entry
            else:
                entries.append(entry)
            for key, own in values.items():
                cells = " | ".join(f"{own[metric]:.4f}".lstrip("0") for metric in own)
                print(f"| {name} | `{protocol}` | `{key}` | {cells} |")
    OUT.write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
