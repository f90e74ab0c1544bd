"""Write the generated parts of every card in ``model_cards/``; hand-written text stays.

``python tools/update_cards.py`` rewrites them, ``--check`` only reports whether they are current.
``--baselines`` adds or updates a block with the baselines' metrics in the cards of checkpoints that
were measured on the data of ``benchmarks/baselines.json`` (same fingerprint). Without it, existing
blocks stay. Names of cards limit both to these cards.
"""

import argparse
import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from seqzoo.checkpoint.card import card_of
from seqzoo.checkpoint.card_baselines import baselines_table
from seqzoo.checkpoint.manifest import CARD, CURVE
from seqzoo.checkpoint.record import read_checkpoint

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "model_cards"
MEASURED = ROOT / "benchmarks" / "baselines.json"

_END = "<!-- /seqzoo:generated -->"
_FIGURES = re.compile(rf"<!-- seqzoo:generated figures -->.*?{_END}", re.DOTALL)
_BASELINES = re.compile(rf"\n\n<!-- seqzoo:generated baselines -->.*?{_END}", re.DOTALL)


def card(folder: Path) -> str:
    """The card of a checkpoint folder with its generated parts current."""
    return card_of(
        read_checkpoint(folder),
        name=folder.name,
        source=folder.name,
        curve=CURVE if (folder / CURVE).is_file() else None,
        existing=(folder / CARD).read_text("utf-8"),
    )


def with_baselines(text: str, folder: Path) -> str:
    """The card with the block of baselines after that of the metrics, if there are any.

    Protocols whose stored metrics have baselines are left out: the metrics show them already.
    """
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    tables = []
    for entry in json.loads(MEASURED.read_text("utf-8")):
        own = metrics.get(entry["protocol"])
        if own is None or "baselines" in own:
            continue
        if own["data"]["fingerprint"] == entry["fingerprint"]:
            title = f"{entry['data']}, `{entry['protocol']}`"
            tables.append(baselines_table(own["metrics"], entry["baselines"], title))
    if not tables:
        return _BASELINES.sub("", text)
    content = "\n\n".join(["### Compared with baselines", *tables])
    block = f"\n\n<!-- seqzoo:generated baselines -->\n{content}\n{_END}"
    return _FIGURES.sub(lambda found: found[0] + block, _BASELINES.sub("", text), count=1)


def main() -> int:
    """Rewrite the cards; with ``--check``, exit 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="cards, all by default; * and ? as in the shell")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on difference")
    parser.add_argument("--baselines", action="store_true", help="write the blocks of baselines")
    options = parser.parse_args()
    outdated = []
    folders = sorted(path for path in CARDS.iterdir() if (path / "config.json").is_file())
    for name in options.names:
        if not any(fnmatch(folder.name, name) for folder in folders):
            parser.error(f"no card is called '{name}'; see the folders of {CARDS.name}/")
    for folder in folders:
        if options.names and not any(fnmatch(folder.name, name) for name in options.names):
            continue
        wanted = card(folder)
        if options.baselines:
            wanted = with_baselines(wanted, folder)
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
