"""Put a finished run into ``model_cards/`` under a registered name.

``python tools/bundle.py runs/mine mamba4rec-ml1m``; hand-written text of an old card stays.
"""

import argparse
from pathlib import Path

from seqzoo.checkpoint.manifest import CURVE
from seqzoo.evaluation.curve import plot_curve
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.state import read_progress

CARDS = Path(__file__).parent.parent / "model_cards"


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


if __name__ == "__main__":
    main()
