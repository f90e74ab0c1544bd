"""The tables of docs/reliability.md, from the results of the long runs.

From a checkout, with files that the runs wrote by ``--json``::

    python -m tests.reliability.report fuzz.json kills.json disk.json
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AREAS = {
    "checkpoint": "files of a checkpoint",
    "recipe": "recipe to train",
    "card": "model card",
    "data": "data files and downloads",
    "session": "saved sessions",
    "training": "state of a run",
    "pins": "pins",
    "hub": "the Hub's answers and cache",
    "import": "weights of others",
    "command line": "command line",
}
Rows = Sequence[dict[str, Any]]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first hold numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    shown = [
        [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line] for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)


def fuzz_table(results: Rows) -> str:
    """The cases by area."""
    head = ["area", "readers", "cases", "read", "refused in one line", "failures", "memory"]
    rows: list[list[object]] = []
    for area, title in AREAS.items():
        own = [result for result in results if result["area"] == area]
        if own:
            rows.append([title, len(own), *_sums(own), f"{max(r['growth_mb'] for r in own)} MB"])
    largest = max(result["growth_mb"] for result in results)
    rows.append(["**all**", len(results), *_sums(results), f"{largest} MB"])
    return table(head, rows)


def _sums(results: Rows) -> list[int]:
    return [sum(r[key] for r in results) for key in ("cases", "read", "refused", "failed")]


def kill_table(results: Rows) -> str:
    """The kills by operation, and how often each state was found afterwards."""
    head = ["operation", "kills", "SIGKILL", "SIGTERM", "SIGINT", "lost or mixed", "left"]
    rows: list[list[object]] = []
    for result in results:
        signals = [result["signals"].get(name, 0) for name in head[2:5]]
        left = ", ".join(f"{name} ({count})" for name, count in result["left"].items())
        rows.append([result["operation"], result["kills"], *signals, result["failed"], left])
    signals = [sum(r["signals"].get(name, 0) for r in results) for name in head[2:5]]
    totals = [sum(result[key] for result in results) for key in ("kills", "failed")]
    return table(head, [*rows, ["**all**", totals[0], *signals, totals[1], ""]])


def disk_table(results: Rows) -> str:
    """The steps by operation and limit."""
    head = ["operation", "limit", "steps", "refused in one line", "failures"]
    keys = ("operation", "limit", "cases", "refused", "failed")
    return table(head, [[result[key] for key in keys] for result in results])


def main() -> None:
    """Print the table of each file."""
    for name in sys.argv[1:]:
        results = json.loads(Path(name).read_text("utf-8"))
        kinds = {"reader": fuzz_table, "signals": kill_table, "limit": disk_table}
        make = next(make for key, make in kinds.items() if key in results[0])
        print(f"{make(results)}\n")


if __name__ == "__main__":
    main()
