"""Speed, state and spread of every checkpoint, for the board of the docs.

``SEQZOO_DATA=path/to/data python benchmarks/board.py`` measures the checkpoints
of ``model_cards/`` and the baselines on the data of their cards, ``--only ml-100k`` those of some
data sets. Checkpoints of the same data take turns within one run. The results go to
``benchmarks/results/board.json``; ``python tools/update_board.py`` writes the page.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from results_file import circumstances, store
from timing import fastest

from seqzoo.checkpoint.manifest import WEIGHTS, read_manifest
from seqzoo.evaluation.baselines import fit_baselines
from seqzoo.evaluation.evaluate import TOLERANCE
from seqzoo.evaluation.held_out import HeldOut, hold_out
from seqzoo.evaluation.preparation import PreparedData
from seqzoo.evaluation.protocol import Protocol, get_protocol
from seqzoo.evaluation.ranks import Floats, gains_by_user, means
from seqzoo.evaluation.session_size import session_bytes
from seqzoo.model.sequence_model import SequenceModel

HERE = Path(__file__).parent
CARDS = HERE.parent / "model_cards"
BASELINES = HERE / "baselines.json"
OUT = HERE / "results" / "board.json"
USERS, K, PEER = 1000, 10, "sasrec"

Part = tuple[HeldOut, list[Protocol]]


def cards_by_data(cards: Path) -> dict[tuple[str, str], list[Path]]:
    """The folders of the checkpoints by name and fingerprint of the data of their metrics."""
    found: dict[tuple[str, str], list[Path]] = {}
    for metrics in sorted(cards.glob("*/metrics.json")):
        entries = json.loads(metrics.read_text("utf-8")).values()
        for name, fingerprint in {(e["data"]["name"], e["data"]["fingerprint"]) for e in entries}:
            found.setdefault((name, fingerprint), []).append(metrics.parent)
    return dict(sorted(found.items()))


def parts_of(model: SequenceModel, read: PreparedData, names: Sequence[str]) -> list[Part]:
    """What a model is measured on: held-out items, and the protocols that share them."""
    found: list[Part] = []
    for protocol in map(get_protocol, names):
        data, split = read.of(model, protocol), read.split(model, protocol)
        for held_out, protocols in found:
            if held_out.data is data and held_out.chosen == split:
                protocols.append(protocol)
                break
        else:
            found.append((hold_out(data, model.vocabulary, split), [protocol]))
    return found


def spread(gains: Mapping[str, Floats], owners: npt.NDArray[np.int64]) -> dict[str, float]:
    """Half the width of the 95 % interval of each metric at 10, over users.

    Users are the units, with all of their targets: 1.96 standard errors of the mean over targets.

    Args:
        gains: each metric of every target (T,).
        owners: the user of every target (T,).
    """
    halves = {}
    for key, values in gains.items():
        if key.endswith("@10"):
            by_user = np.bincount(owners, values - values.mean())
            halves[key] = round(1.96 * float(np.sqrt((by_user**2).sum())) / len(values), 6)
    return halves


def spreads(
    name: str,
    model: SequenceModel,
    parts: Sequence[Part],
    stored: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The spread under each protocol; ends the program if a stored metric is not met.

    Args:
        name: of the model.
        model: the model.
        parts: what it is measured on.
        stored: the metrics that the board shows, by protocol; those of baselines have four digits.
    """
    found = {}
    for held_out, protocols in parts:
        for protocol, gains in zip(
            protocols, gains_by_user(model, held_out, protocols), strict=True
        ):
            known = stored.get(protocol.name, {})
            for key, value in means(gains).items():
                # Four digits alone may differ by the tolerance.
                if abs(value - known.get(key, value)) > TOLERANCE + 1e-9:
                    sys.exit(
                        f"{name}: {key} under {protocol.name} is {value:.4f}, and "
                        f"{known[key]:.4f} is stored; see python tools/measure_again.py and "
                        "python benchmarks/baselines.py"
                    )
            found[protocol.name] = spread(gains, held_out.owners)
    return found


def stored_metrics(
    models: Mapping[str, SequenceModel], fingerprint: str
) -> dict[str, dict[str, dict[str, float]]]:
    """The stored metrics of checkpoints and baselines by name and protocol."""
    known = {
        name: {protocol: dict(entry["metrics"]) for protocol, entry in model.metrics.items()}
        for name, model in models.items()
    }
    for entry in json.loads(BASELINES.read_text("utf-8")):
        if entry["fingerprint"] == fingerprint:
            for name, metrics in entry["baselines"].items():
                known.setdefault(name, {})[entry["protocol"]] = metrics
    return known


def histories_of(held_out: HeldOut, model: SequenceModel) -> tuple[list[list[str]], Any]:
    """Item ids and times of evenly spaced users, some of them twice where there are fewer."""
    split, sequences = held_out.split, held_out.sequences
    rows = np.linspace(0, len(split) - 1, USERS).astype(np.int64)
    ranges = [slice(split.history_start[row], split.history_end[row]) for row in rows]
    items = [[model.vocabulary.item(item) for item in sequences.items[each]] for each in ranges]
    if sequences.timestamps is None:
        return items, None
    return items, [sequences.timestamps[each].tolist() for each in ranges]


def measure(name: str, fingerprint: str, folders: Sequence[Path], turns: int) -> dict[str, Any]:
    """The entry of one data set: every checkpoint of it and the baselines."""
    cards = {folder.name: SequenceModel.from_pretrained(folder) for folder in folders}
    weights = {folder.name: read_manifest(folder).files[WEIGHTS]["sha256"] for folder in folders}
    peer = min(cards, key=lambda each: (cards[each].architecture != PEER, "@" in each, each))
    names = {
        each: [
            protocol
            for protocol, entry in model.metrics.items()
            if entry["data"]["fingerprint"] == fingerprint
        ]
        for each, model in cards.items()
    }
    read = PreparedData(name)
    parts = {each: parts_of(model, read, names[each]) for each, model in cards.items()}
    first, _ = parts[peer][0]
    if first.data.fingerprint != fingerprint:
        sys.exit(
            f"{name}: the data have the fingerprint {first.data.fingerprint}, and the metrics of "
            f"{peer} were measured on {fingerprint}; set SEQZOO_DATA to the folder with those data"
        )
    fitted = fit_baselines(first.data, first.chosen)
    # Fitted on the training part of one split, which other splits may test.
    shared = {
        protocol.name: protocol
        for held_out, protocols in (part for own in parts.values() for part in own)
        for protocol in protocols
        if held_out.chosen == first.chosen
    }
    for each, model in fitted.items():
        held_out = hold_out(first.data, model.vocabulary, first.chosen)
        parts[each] = [(held_out, list(shared.values()))]
    models = {**cards, **fitted}
    stored = stored_metrics(cards, fingerprint)
    items, times = histories_of(first, cards[peer])
    calls: dict[str, Callable[[], object]] = {
        each: partial(model.recommend_many, items, K, timestamps=times)
        for each, model in models.items()
    }
    seconds = fastest(calls, turns)
    return {
        "data": name,
        "fingerprint": fingerprint,
        "peer": peer,
        "users": USERS,
        "events": round(float(np.mean([len(row) for row in items])), 1),
        "turns": turns,
        "models": {
            each: {
                # Of the weights: the board shows the speed of these only. Baselines have none.
                "sha256": weights.get(each),
                "users_per_second": round(USERS / seconds[each], 1),
                "ratio": round(seconds[peer] / seconds[each], 3),
                "state_bytes": session_bytes(model, parts[each][0][0]),
                "spread": spreads(each, model, parts[each], stored.get(each, {})),
            }
            for each, model in models.items()
        },
    }


def main() -> None:
    """Measure what is asked for, and keep the rest of the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names of data sets")
    parser.add_argument("--turns", type=int, default=11, help="rounds that are timed")
    parser.add_argument("--cards", type=Path, default=CARDS, help="the folder of the checkpoints")
    parser.add_argument("--out", type=Path, default=OUT, help="the file of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = cards_by_data(options.cards)
    unknown = sorted(set(options.only or ()) - {name for name, _ in known})
    if unknown:
        names = ", ".join(sorted({name for name, _ in known}))
        parser.error(f"no checkpoint was measured on '{unknown[0]}'; expected one of: {names}")
    entries = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else []
    for (name, fingerprint), folders in known.items():
        if options.only and name not in options.only:
            continue
        sys.stderr.write(f"{name}: {len(folders)} checkpoints\n")
        entry = measure(name, fingerprint, folders, options.turns) | {
            "command": f"SEQZOO_DATA=PATH python benchmarks/board.py --only {name}",
            **circumstances(),
        }
        others = [
            each for each in entries if (each["data"], each["fingerprint"]) != (name, fingerprint)
        ]
        entries = sorted([*others, entry], key=lambda each: (each["data"], each["fingerprint"]))
        store(options.out, entries)


if __name__ == "__main__":
    main()
