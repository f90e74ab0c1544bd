"""Write the generated parts of README.md: tables of models and metrics, and real outputs.

``python tools/update_readme.py`` rewrites them, ``--check`` only says whether they are current.
Every metric comes from the checkpoints' own ``metrics.json``.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import seqzoo
from seqzoo.metric_names import metric_title
from seqzoo.plugins import catalogue

README = Path(__file__).parent.parent / "README.md"
CARDS = README.parent / "model_cards"
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


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """The information about each checkpoint of this repository, installed or not."""
    for config in sorted(CARDS.glob("*/config.json")):
        yield config.parent.name, seqzoo.info(config.parent)


def checkpoints() -> str:
    """A table of the checkpoints with their stored metrics."""
    lines = [
        "| checkpoint | data | parameters | protocol | users | HR@10 | NDCG@10 | MRR@10 |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for name, document in documents():
        for protocol, entry in document["measured"].items():
            metrics = entry["metrics"]
            shown = " | ".join(f"{metrics[key]:.4f}" for key in ("hit@10", "ndcg@10", "mrr@10"))
            lines.append(
                f"| `{name}` | {entry['data']['name']} | {document['parameters']:,} "
                f"| `{protocol}` | {entry['users']:,} | {shown} |"
            )
    return "\n".join(lines)


def published() -> str:
    """Measured metrics, next to those that others have published under the same protocol."""
    lines = [
        "| data, protocol | checkpoint | HR@10 / NDCG@10 | published | by |",
        "|---|---|---:|---:|---|",
    ]
    rows = []
    for name, document in documents():
        spec = catalogue().architectures.get(document["architecture"])
        for other in spec.published_for(document["config"]):
            entry = document["measured"].get(other.protocol)
            if entry is None or entry["data"]["name"] != other.data:
                continue
            keys = [key for key in ("hit@10", "ndcg@10") if key in other.metrics]
            ours = [entry["metrics"][key] for key in keys]
            theirs = [other.metrics[key] for key in keys]
            lower = [
                f"{metric_title(key)} lower"
                for key, a, b in zip(keys, ours, theirs, strict=True)
                if a < b
            ]
            remark = f"; **ours: {', '.join(lower)}**" if lower else ""
            if lower and len(lower) == len(keys):
                remark = "; **ours is lower**"
            rows.append(
                f"| {other.data}, `{other.protocol}` | `{name}` | {_both(ours)} "
                f"| {_both(theirs)} | {other.source}{remark} |"
            )
    return "\n".join([*lines, *sorted(rows)])


def _both(values: list[float]) -> str:
    return " / ".join(f"{value:.4f}" for value in values)


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
        "checkpoints": checkpoints,
        "published": published,
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
