"""Write the generated parts of every card in ``model_cards/``; hand-written text stays.

``python tools/update_cards.py`` rewrites them, ``--check`` only reports whether they are current.
"""

import argparse
import sys
from pathlib import Path

from seqzoo.checkpoint.card import card_of
from seqzoo.checkpoint.manifest import CARD, CURVE
from seqzoo.checkpoint.record import read_checkpoint

CARDS = Path(__file__).parent.parent / "model_cards"


def card(folder: Path) -> str:
    """The card of a checkpoint folder with its generated parts current."""
    return card_of(
        read_checkpoint(folder),
        name=folder.name,
        source=folder.name,
        curve=CURVE if (folder / CURVE).is_file() else None,
        existing=(folder / CARD).read_text("utf-8"),
    )


def main() -> int:
    """Rewrite the cards; with ``--check``, exit 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on difference")
    options = parser.parse_args()
    outdated = []
    for folder in sorted(path for path in CARDS.iterdir() if (path / "config.json").is_file()):
        wanted = card(folder)
        if wanted != (folder / CARD).read_text("utf-8"):
            outdated.append(folder.name)
            if not options.check:
                (folder / CARD).write_text(wanted, "utf-8")
    if options.check and outdated:
        sys.stderr.write(
            f"cards out of date: {', '.join(outdated)}: python tools/update_cards.py\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
