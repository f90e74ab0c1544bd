"""Measure all stored metrics of ``model_cards/`` again and report which differ.

``SEQZOO_DATA=path/to/data python tools/measure_again.py 'mamba4rec-*'``; the exit code is 1 if a
metric differs in its first four digits, or was stored for other data. ``--write`` stores what was
measured, with the fingerprints of the data, and changes nothing else in the checkpoint.
"""

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from seqzoo.evaluation.evaluate import Evaluation, evaluate_all
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel

CARDS = Path(__file__).parent.parent / "model_cards"


def verdict(found: Evaluation) -> str:
    """Whether measured and stored metrics agree."""
    if found.data["match"] != "same":
        differing = {"timestamps": "other timestamps", "split": "another split"}
        return differing.get(found.data["match"], "other data")
    return "drift" if found.drift else "ok"


def main() -> int:
    """Print a line for each checkpoint and protocol."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="*", help="names, with shell wildcards")
    parser.add_argument("--write", action="store_true", help="store the measured metrics")
    options = parser.parse_args()
    differing = 0
    for folder in sorted(config.parent for config in CARDS.glob("*/config.json")):
        if not fnmatchcase(folder.name, options.pattern):
            continue
        model = SequenceModel.from_pretrained(folder)
        results = evaluate_all(model, model.recipe["data"]["source"], list(model.metrics))
        for found in results:
            differing += verdict(found) != "ok"
            shown = "  ".join(f"{key} {found.metrics[key]:.4f}" for key in ("hit@10", "ndcg@10"))
            sys.stdout.write(f"{folder.name:26} {found.protocol:16} {shown}  {verdict(found)}\n")
            sys.stdout.flush()
        if options.write:
            records = {
                found.protocol: found.record(model.metrics[found.protocol]["seed"])
                for found in results
            }
            save_model(folder, model, metrics=records)
    return 1 if differing and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
