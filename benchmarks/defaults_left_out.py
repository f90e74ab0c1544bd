r"""Choose settings of the defaults on all data sets but one, and see how good they are on that one.

    python benchmarks/defaults_left_out.py --out runs/left-out --users 1000 \
        --data path/to/steam amazon-beauty -- sasrec gru4rec

Every candidate of an architecture is one run on every data set; windows and batches are those of
``seqzoo.training.defaults`` unless the candidate says otherwise. For each data set, the candidate
is taken whose validation NDCG@10, as a share of the best candidate's, is the highest on average
over the other sets. One line of JSON for each run is added to ``FOLDER/runs.jsonl``; a run that
the file has already is left out. ``--table`` prints the file as Markdown, without running anything.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defaults import Log, run, sampled, short

from seqzoo.data.interactions import Interactions

KEYS = ("data", "users_drawn", "architecture", "settings")
PLAIN = "train.adapt=false"
FIXED = ["data.min_count=1", "train.epochs=8", "train.patience=3", "train.baselines=false"]
UNSEEN_FIRST = "train.protocols=[loo-full-unseen,loo-full]"

_RATES = ["train.lr=1e-3", "train.lr=2e-3"]
_WARMED = ["train.lr=1e-3 train.warmup=0", "train.lr=2e-3 train.warmup=1"]
_NORMS = ["model.embedding_norm=none", "model.embedding_norm=after-dropout"]
CANDIDATES: Mapping[str, Sequence[str]] = {
    "bert4rec": [PLAIN, *_WARMED],
    "caser": [PLAIN, "train.lr=3e-3", "train.lr=1e-3"],
    "duorec": [PLAIN, *_WARMED],
    "elastic": [PLAIN, *_WARMED],
    "esasrec": [PLAIN, *_WARMED],
    "fuxi-linear": [PLAIN, *_WARMED],
    "gru4rec": [PLAIN, *_NORMS],
    "hstu": [PLAIN, *_WARMED],
    "lrurec": [PLAIN, *_RATES],
    "mamba4rec": [
        PLAIN,
        "model.num_layers=1 model.dropout=0.2 train.lr=1e-3",
        "model.num_layers=2 model.dropout=0.4 train.lr=2e-3",
    ],
    "narm": [PLAIN, *_NORMS],
    "sasrec": [PLAIN, *_WARMED],
    "ssd4rec": [PLAIN, *_RATES],
    "tim4rec": [PLAIN, *_RATES],
    "tisasrec": [PLAIN, *_WARMED],
}
"""The settings to choose from, for each architecture.

``bsarec`` and ``fmlp`` are not there: with one target a window they need many more epochs.
"""


def settings_of(candidate: str, data: Interactions) -> list[str]:
    """The settings of a run; the epoch is chosen as it is by default for such data."""
    pairs = data.frame.select("user", "item")
    once = pairs.n_unique() == pairs.height
    return [*FIXED, *([UNSEEN_FIRST] if once else []), *candidate.split()]


Values = dict[str, dict[str, float]]
"""Validation NDCG@10 by data set and candidate."""


def values_of(entries: Sequence[Mapping[str, Any]], architecture: str) -> Values:
    """The values of an architecture on the data sets that have all its candidates."""
    found: Values = {}
    for entry in entries:
        if entry["architecture"] == architecture:
            value = entry["valid"][entry["selected_by"]]["ndcg@10"]
            found.setdefault(entry["data"], {})[entry["candidate"]] = value
    wanted = set(CANDIDATES[architecture])
    return {data: own for data, own in sorted(found.items()) if wanted <= set(own)}


def chosen_without(values: Values, left_out: str | None) -> str:
    """The candidate with the highest mean share of the best, over all sets but one."""
    others = [own for data, own in values.items() if data != left_out]
    return max(
        values[next(iter(values))],
        key=lambda candidate: sum(own[candidate] / max(own.values()) for own in others),
    )


def rows(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table as lines of Markdown: a row for each architecture, a column for each set."""
    by_architecture = {name: values_of(entries, name) for name in CANDIDATES}
    compared = {name: values for name, values in by_architecture.items() if len(values) > 1}
    # A set without all candidates of any architecture would be an empty column.
    sets = sorted({data for values in compared.values() for data in values})
    found = [
        f"| architecture | chosen on all sets | {' | '.join(sets)} |",
        f"|---|---|{'---:|' * len(sets)}",
    ]
    for architecture, values in compared.items():
        cells = []
        for data in sets:
            if data not in values:
                cells.append("")
                continue
            own, chosen = values[data], chosen_without(values, data)
            plain = own[CANDIDATES[architecture][0]]
            share = own[chosen] / max(own.values())
            cells.append(f"{short(plain)} → {short(own[chosen])} ({share:.0%})")
        # What all candidates share is not shown.
        parts = [set(each.split()) for each in CANDIDATES[architecture]]
        whole = [w for w in chosen_without(values, None).split() if not all(w in p for p in parts)]
        found.append(f"| `{architecture}` | `{' '.join(whole)}` | {' | '.join(cells)} |")
    return found


def main() -> None:
    """Run what is asked for and not there yet, or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", nargs="+", default=[], help="names or paths of data sets")
    parser.add_argument("--users", type=int, default=0, help="users to draw; 0 for all")
    parser.add_argument("--table", action="store_true", help="print the runs that have ended")
    parser.add_argument("architectures", nargs="*", choices=[[], *CANDIDATES])
    options = parser.parse_args()
    log = Log(options.out, KEYS)
    if options.table:
        print("\n".join(rows(log.entries())))
        return
    for source in options.data:
        data = sampled(source, options.users)
        for architecture in options.architectures or CANDIDATES:
            for candidate in CANDIDATES[architecture]:
                settings = settings_of(candidate, data)
                key = [Path(source).name, options.users, architecture, settings]
                if not log.has(key):
                    name = "-".join([*map(str, key[:3]), *candidate.split()])
                    results = run(architecture, data, settings, options.out / name)
                    log.add(key, {"candidate": candidate, **results})


if __name__ == "__main__":
    main()
