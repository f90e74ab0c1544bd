"""Put a finished run into ``model_cards/`` under a registered name.

``python tools/bundle.py runs/mine mamba4rec-ml1m``; hand-written text of an old card stays. How
long the run took goes to ``benchmarks/results/training.json``: no file of a checkpoint may depend
on the machine, so that a second run gives the same bytes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from board_data import TRAINED

from seqzoo.checkpoint.manifest import CURVE, WEIGHTS, read_manifest
from seqzoo.evaluation.curve import plot_curve
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.state import Progress, read_progress

CARDS = Path(__file__).parent.parent / "model_cards"


def record_time(name: str, weights: str, progress: Progress, file: Path) -> None:
    """Store how long a run took, in place of what was stored for an earlier run of this name."""
    entries: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    entries[name] = {
        "sha256": weights,
        "seconds": round(progress.seconds),
        "epochs": progress.epoch,
    }
    file.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", "utf-8")


def main() -> None:
    """Load the run, which verifies it, and write it as a checkpoint without the training state."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("name", help="registered name of the checkpoint")
    options = parser.parse_args()
    model = SequenceModel.from_pretrained(options.run)
    progress = read_progress(options.run)
    if progress is None:
        parser.error(f"{options.run} holds no training state; give the folder of a run")
    (CARDS / options.name).mkdir(parents=True, exist_ok=True)
    plot_curve(progress.epochs, CARDS / options.name / CURVE, options.name)
    save_model(CARDS / options.name, model)
    weights = read_manifest(CARDS / options.name).files[WEIGHTS]["sha256"]
    record_time(options.name, weights, progress, TRAINED)


if __name__ == "__main__":
    main()
