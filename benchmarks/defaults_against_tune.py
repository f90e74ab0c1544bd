r"""The defaults of architectures, compared with the best of ``seqzoo tune`` on the same data.

    python benchmarks/defaults_against_tune.py --out runs/against --users 1000 \
        --data amazon-beauty steam --settings data.min_count=1 train.epochs=8 -- sasrec gru4rec

For each data set and architecture, one run with the defaults and one tuning. Both are selected by
the same validation metric, under the data's default protocol; the weights that are chosen are
also measured on the validation items with seen items left out, and on the test items. The test
items show how much of a difference is luck: the best of ten validation values is partly chosen by
its errors, which the test items do not share. One line of JSON for each pair is added to
``FOLDER/runs.jsonl``. A pair that the file has already is left out, and one that was interrupted is
resumed. ``--table`` prints the file as Markdown, without running anything.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from defaults import Log, sampled, short, validated

import seqzoo
from seqzoo.config import parse_overrides
from seqzoo.data.interactions import Interactions

KEYS = ("data", "users_drawn", "architecture", "settings", "trials")


def pair(
    architecture: str, data: Interactions, settings: list[str], trials: int, out: Path
) -> dict[str, Any]:
    """The defaults and a tuning, with the same settings fixed in both."""
    recipe = {"architecture": architecture, **parse_overrides(settings)}
    started = time.process_time()
    plain = seqzoo.train(recipe, out / "defaults", data=data)
    between = time.process_time()
    tuned = seqzoo.tune(recipe, data, trials=trials, out=out / "tuned")
    ended = time.process_time()
    if tuned.best is None:
        raise SystemExit(f"{out}: no trial was completed, or Ctrl-C ended the tuning")
    states = [trial.state for trial in tuned.trials]
    return {
        "defaults": {
            "value": plain.best_value,
            "best_epoch": plain.best_epoch,
            **validated(out / "defaults", data),
            "cpu_seconds": round(between - started, 1),
        },
        "tuned": {
            "value": tuned.best.value,
            "states": {state: states.count(state) for state in sorted(set(states))},
            "settings": tuned.best.settings,
            **validated(out / "tuned" / "best", data),
            "cpu_seconds": round(ended - between, 1),
        },
    }


def rows(entries: list[dict[str, Any]]) -> list[str]:
    """The table as lines of Markdown, by data set and architecture."""
    found = [
        "| data | users | architecture | selected by | defaults | best of tune | share | "
        "`loo-full-unseen`: defaults | best of tune | share | "
        "test: defaults | best of tune | share |",
        f"|---|---:|---|---|{'---:|' * 9}",
    ]
    for entry in sorted(entries, key=lambda entry: (entry["data"], entry["architecture"])):
        plain, tuned = entry["defaults"], entry["tuned"]
        pairs = [(plain["value"], tuned["value"])]
        pairs += [tuple(each["valid"]["loo-full-unseen"]["ndcg@10"] for each in (plain, tuned))]
        by = plain["selected_by"]
        pairs += [tuple(each["test"][by]["ndcg@10"] for each in (plain, tuned))]
        cells = [f"{short(one)} | {short(two)} | {one / two:.0%}" for one, two in pairs]
        found.append(
            f"| {entry['data']} | {plain['users']:,} | `{entry['architecture']}` | "
            f"`{by}` | {' | '.join(cells)} |"
        )
    return found


def main() -> None:
    """Run what is asked for and not there yet, or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", nargs="+", default=[], help="names or paths of data sets")
    parser.add_argument("--users", type=int, default=0, help="users to draw; 0 for all")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--settings", nargs="+", default=[], help="fixed in every run")
    parser.add_argument("--table", action="store_true", help="print the pairs that have ended")
    parser.add_argument("architectures", nargs="*")
    options = parser.parse_args()
    log = Log(options.out, KEYS)
    if options.table:
        print("\n".join(rows(log.entries())))
        return
    for source in options.data:
        data = None
        for architecture in options.architectures:
            key = [
                Path(source).name, options.users, architecture, options.settings, options.trials
            ]  # fmt: skip
            if log.has(key):
                continue
            data = data or sampled(source, options.users)
            home = options.out / "-".join(map(str, key[:3]))
            log.add(key, pair(architecture, data, options.settings, options.trials, home))


if __name__ == "__main__":
    main()
