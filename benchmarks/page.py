"""The page of benchmarks in the docs, written from the stored results.

``python benchmarks/page.py --check`` only says whether the page is current.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from targets import TargetError, judged

from seqzoo.evaluation.plot import draw

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
PICTURES = PAGE.parent / "images" / "benchmarks"

_INTRODUCTION = """\
# Benchmarks

<!-- Written by benchmarks/page.py from benchmarks/results. Do not edit. -->

Each script of the folder [`benchmarks/`](https://github.com/seqzoo/seqzoo/tree/main/benchmarks)
compares alternatives that take turns within one run. The ratio of their medians is the result,
because absolute durations differ between machines far more than ratios do. A ratio below 1 means
that the alternative takes less time or memory.

`python benchmarks/all.py` runs all of them and rewrites this page; `--only NAME` runs one. The
CUDA backends are unmeasured.

To compare checkpoints by quality and speed on your machine, use
[`seqzoo compare`](how-to/evaluate.md#compare-checkpoints).
"""

_TARGETS = """\
## Targets

Speed targets, compared with the results above. Absolute times vary between machines more than
ratios do.
"""

_MISSED = """\
Missed targets, with a profile of where the time goes and what was tried:
"""

SECTIONS = {
    "length": (
        "Length",
        "A training step at growing lengths. For one history, a cost that is linear in the "
        "length grows 16 times from 512 to 8,192 events. At 2,048 events, time and memory are "
        "compared with `sasrec`, whose attention is quadratic.",
    ),
    "users": (
        "Users",
        "Recommendations and evaluation for many users. The naive implementation (`plain`) pads "
        "all histories to 200 events, computes every position, scores all items and sorts them.",
    ),
    "sessions": (
        "Sessions",
        "One more event of a user: processed by a session, or by encoding the newest 200 "
        "events again. `model.sessions()` processes the events of many users together.",
    ),
    "catalogue": (
        "Catalogue",
        "A million items: the best ten in blocks of items and with an index of quantised "
        "vectors, a training step that updates only the rows of its batch, and an index of "
        "ids.",
    ),
    "preparation": (
        "Preparation",
        "20 million generated interactions, read from a Parquet file, filtered and sorted: in "
        "memory, into a folder with `seqzoo data prepare`, and from that folder.",
    ),
    "time_to_quality": (
        "Time to quality",
        "CPU time of training on MovieLens-100K until the validation NDCG@10 that "
        "RecBole's SASRec has after three epochs. Each library trains with its own default "
        "settings.",
    ),
    "training_step": (
        "Short histories",
        "A training step at 200 events. `sasrec`, whose attention is quadratic, is the comparison.",
    ),
    "start": (
        "Start",
        "The command line, compared with a process that imports torch and reads the same weights.",
    ),
    "kernels": (
        "Kernels",
        "The compiled CPU kernels compared with those in PyTorch, and these with plain PyTorch.",
    ),
}


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose last two columns are numbers."""
    rule = [*["---"] * (len(header) - 2), "---:", "---:"]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def value(number: float, unit: str) -> str:
    """A number with three digits and its unit."""
    digits = max(0, 3 - len(str(int(number)))) if number >= 1 else 3
    return f"{number:,.{digits}f} {unit}"


def comparisons(results: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, float], str, str]]:
    """Title, values, the name that the others are compared with, and unit of each comparison."""
    if "way" in results[0]:
        for key, title, unit in (("seconds", "time", "s"), ("peak_gb", "peak memory", "GB")):
            yield title, {each["way"]: each[key] for each in results}, results[0]["way"], unit
    elif "curve" in results[0]:
        found = {each["title"]: each["curve"][-1]["cpu_seconds"] for each in results}
        yield "CPU time", found, results[0]["title"], "s"
    else:
        for each in results:
            yield each["title"], each["values"], each["peer"], each["unit"]


def section(name: str, stored: Mapping[str, Any]) -> str:
    """The part of the page about one benchmark."""
    title, about = SECTIONS[name]
    rows = []
    for what, values, peer, unit in comparisons(stored["results"]):
        for one, number in values.items():
            rows.append([what, one, value(number, unit), f"{number / values[peer]:.2f}"])
            what = ""
    machine = stored["machine"]
    return "\n".join(
        [
            f"## {title}\n",
            f"{about}\n",
            f"![{title}: the ratios of the table below as bars](images/benchmarks/{name}.svg)\n",
            table(["comparison", "alternative", "median", "ratio"], rows),
            f"`{stored['command']}`, {stored['date']}: {machine['processor']}, "
            f"{machine['cores']} cores, load {stored['load']}, Python {machine['python']}, "
            f"torch {machine['torch']}, seqzoo {machine['seqzoo']}.\n",
        ]
    )


def picture(name: str, stored: Mapping[str, Any], folder: Path) -> None:
    """Bars of all ratios, on a logarithmic axis."""
    bars, ticks, y = [], [], 0.0
    for what, values, peer, _ in comparisons(stored["results"]):
        ticks.append((y, what, "bold"))
        y += 1
        for one, number in values.items():
            bars.append((y, number / values[peer], one == peer))
            ticks.append((y, one, "normal"))
            y += 1
        y += 0.5

    def make(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        for at, ratio, is_peer in bars:
            colour = "#9aa5a5" if is_peer else "#00897b"
            axes.barh(at, ratio - 1, left=1, color=colour, height=0.8)
            # Beyond the end of the bar, on its own side of the line at 1.
            left = ratio < 1
            axes.annotate(
                f"{ratio:.2f}",
                (ratio, at),
                xytext=(-3 if left else 3, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=7,
            )
        axes.axvline(1, color="#555555", linewidth=0.8)
        axes.set_yticks([at for at, _, _ in ticks], [text for _, text, _ in ticks], fontsize=7)
        for label, (_, _, weight) in zip(axes.get_yticklabels(), ticks, strict=True):
            label.set_fontweight(weight)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.15)
        # The first line is a title, above all bars.
        axes.set_ylim(y, -0.8)
        axes.set_xlabel("ratio (logarithmic); the grey bar's alternative is 1, less is better")

    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / f"{name}.svg", (7.5, 0.6 + 0.17 * y), make)


def stored_results(folder: Path) -> dict[str, Any]:
    """The stored results in the order of the page."""
    return {
        name: json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in SECTIONS
        if (folder / f"{name}.json").is_file()
    }


def targets(results: Mapping[str, Any]) -> str:
    """The targets, and whether the stored results reach them."""
    found = {
        (name, title): values
        for name, each in results.items()
        for title, values, _, _ in comparisons(each["results"])
    }
    commands = {name: each["command"] for name, each in results.items()}
    rows, reasons = judged(found, commands)
    header = ["benchmark", "command", "state", "target", "measured"]
    return "\n".join([_TARGETS, table(header, rows), _MISSED, *reasons, ""])


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    sections = (section(name, each) for name, each in results.items())
    return "\n".join([_INTRODUCTION, *sections, targets(results)])


def write(folder: Path) -> None:
    """Write the page and its pictures."""
    results = stored_results(folder)
    PAGE.write_text(render(results), "utf-8")
    for name, each in results.items():
        picture(name, each, PICTURES)


def main() -> int:
    """Write the page, or with ``--check`` exit 1 if it is out of date; 1 too on a TargetError."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on difference")
    options = parser.parse_args()
    results = stored_results(HERE / "results")
    missing = [name for name in results if not (PICTURES / f"{name}.svg").is_file()]
    try:
        if not options.check:
            write(HERE / "results")
        elif PAGE.read_text("utf-8") != render(results) or missing:
            print(f"{PAGE} is out of date: python benchmarks/page.py", file=sys.stderr)
            return 1
    except TargetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
