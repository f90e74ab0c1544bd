"""Write the generated parts of README.md: tables of models and metrics, and real outputs.

``python tools/update_readme.py`` rewrites them, ``--check`` only says whether they are current.
Every metric comes from where the board has it, see ``board_data.py``.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from board_data import hit_and_ndcg, tables

import seqzoo

README = Path(__file__).parent.parent / "README.md"
RECOMMEND = ["recommend", "mamba4rec-ml1m", "--history", "1", "260", "1196", "-k", "5"]
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def architectures() -> str:
    """A table of the architectures with the capabilities of their backbones."""
    lines = [
        "| architecture | paper | causal | streaming | uses timestamps |",
        "|---|---|---|---|---|",
    ]
    for model in seqzoo.list_models(pretrained=False):
        capabilities = [
            "yes" if model.claims[name] else "no" for name in ("causal", "streaming", "uses_time")
        ]
        link = model.paper.replace("arXiv:", "https://arxiv.org/abs/")
        paper = f"[{model.paper}]({link})" if link.startswith("https") else model.paper
        lines.append(f"| `{model.name}` | {paper} | {' | '.join(capabilities)} |")
    return "\n".join(lines)


def best() -> str:
    """The best checkpoint on each data set under each protocol, and the best of others."""
    lines = [
        "| data | protocol | checkpoint | HR@10 / NDCG@10 | the best published | by |",
        "|---|---|---|---:|---:|---|",
    ]
    for board in tables():
        cells = [board.data, f"`{board.protocol}`", f"`{board.best.name}`"]
        cells += [hit_and_ndcg(board.best.metrics), "", ""]
        for theirs in board.published[:1]:
            cells[4:] = [hit_and_ndcg(theirs.metrics), f"{theirs.model}: {theirs.source}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def recommend() -> str:
    """What the main job prints."""
    finished = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "seqzoo", *RECOMMEND], capture_output=True, text=True, check=True
    )
    lines = "\n".join(line.rstrip() for line in finished.stdout.strip("\n").splitlines())
    return f"```text\n{lines}\n```"


def render(text: str) -> str:
    """The README with every generated part replaced."""
    makers = {
        "architectures": architectures,
        "best": best,
        "recommend": recommend,
    }

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}{makers[match[2]]()}\n{match[3]}"

    return _PART.sub(part, text)


def main() -> int:
    """Rewrite the README, or with ``--check`` exit 1 where it is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on difference")
    options = parser.parse_args()
    current = README.read_text("utf-8")
    wanted = render(current)
    if options.check and wanted != current:
        sys.stderr.write("README.md is out of date: python tools/update_readme.py\n")
        return 1
    if not options.check:
        README.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
