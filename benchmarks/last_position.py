"""Scoring by ``last`` compared with scoring every position, for 64 histories of mixed lengths."""

import torch
from timing import arguments, medians, report

import seqzoo
from seqzoo.interfaces import SequenceBatch

ITEMS, LENGTH, ROWS = 3416, 200, 64


def compare(architecture: str, turns: int, as_json: bool) -> None:
    """Time both ways, the backbone alone and with the scores of the catalogue."""
    torch.manual_seed(0)
    model = seqzoo.create(architecture, num_items=ITEMS).eval()
    items = torch.randint(1, ITEMS + 1, (ROWS, LENGTH))
    batch = SequenceBatch(items, torch.randint(1, LENGTH + 1, (ROWS,)))
    with torch.inference_mode():
        scores = {
            "every position": lambda: batch.gather_last(model.head(model(batch))),
            "last": lambda: model.head(model.last(batch)),
        }
        report(f"{architecture}: scores", medians(scores, turns), "every position", as_json)
        hidden = {
            "every position": lambda: batch.gather_last(model(batch)),
            "last": lambda: model.last(batch),
        }
        report(f"{architecture}: hidden vectors", medians(hidden, turns), "every position", as_json)


if __name__ == "__main__":
    options = arguments(__doc__)
    for name in ("mamba4rec", "sasrec"):
        compare(name, options.turns, options.json)
