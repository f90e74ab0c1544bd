"""Measure every stored figure of ``model_cards/`` again and say which drift.

``SEQZOO_DATA=path/to/data python tools/measure_again.py 'mamba4rec-*'``; the exit code is 1 where a
figure differs in its first four digits, or was stored for other data.
"""

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import seqzoo

CARDS = Path(__file__).parent.parent / "model_cards"


def main() -> None:
    """Print a line for each checkpoint and protocol."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="*", help="names, with shell wildcards")
    pattern = parser.parse_args().pattern
    differing = 0
    for folder in sorted(CARDS.iterdir()):
        if not fnmatchcase(folder.name, pattern):
            continue
        model = seqzoo.load(folder)
        for protocol in model.metrics:
            found = seqzoo.evaluate(model, model.recipe["data"]["source"], protocol)
            same = found.data["fingerprint"] == found.data["stored"].get("fingerprint")
            verdict = "ok" if same and not found.drift else "drift" if same else "other data"
            differing += verdict != "ok"
            figures = "  ".join(f"{key} {found.metrics[key]:.4f}" for key in ("hit@10", "ndcg@10"))
            sys.stdout.write(f"{folder.name:26} {protocol:16} {figures}  {verdict}\n")
            sys.stdout.flush()
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
