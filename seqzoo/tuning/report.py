"""The report of a tuning: a page, and a picture where matplotlib is installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from seqzoo.evaluation.plot import draw
from seqzoo.metric_names import metric_title
from seqzoo.notebook import Html, block, escape, facts, line, metrics_table, plain, table
from seqzoo.storage.atomic import write_files
from seqzoo.tuning.result import TuningResult
from seqzoo.tuning.space import nested

__all__ = ["PAGE", "PICTURE", "write_report"]

PAGE, PICTURE = "report.html", "trials.png"


def write_report(folder: Path, result: TuningResult) -> None:
    """Write ``report.html`` and, with matplotlib, ``trials.png`` into the folder of a tuning."""
    shown = any(trial.curve for trial in result.trials)
    picture = shown and find_spec("matplotlib") is not None
    if picture:
        draw(folder / PICTURE, (7.0, 3.2), lambda figure: _draw(result, figure))
    write_files(folder, {PAGE: _page(result, picture).encode()})


def _page(result: TuningResult, picture: bool) -> str:
    title = f"Tuning of {result.architecture}: {len(result.trials)} trials"
    metric = f"validation {metric_title(result.metric)}"
    names = list(dict.fromkeys(key for trial in result.trials for key in trial.settings))
    order = sorted(result.trials, key=lambda t: (t.state != "complete", -(t.value or 0.0)))
    rows = [
        [
            trial.number,
            trial.state,
            "" if trial.value is None else f"{trial.value:.4f}",
            len(trial.curve),
            *(trial.settings.get(name, "") for name in names),
            trial.error,
        ]
        for trial in order
    ]
    parts = [line("No trial has been completed yet.")]
    if result.best is not None:
        recipe = yaml.safe_dump(nested(result.best.settings), sort_keys=False)
        parts = [
            facts([("best trial", result.best.number), (metric, f"{result.best.value:.4f}")]),
            Html("<pre>" + "\n".join(map(escape, recipe.splitlines())) + "</pre>"),
        ]
    if result.metrics:
        parts += [line("metrics of the best on the test items"), metrics_table(result.metrics)]
    if picture:
        parts.append(Html(f'<img src="{PICTURE}" alt="{escape(metric)} of every trial">'))
    columns = ["trial", "state", metric, "epochs", *names, "error"]
    parts.append(table(columns, rows, text=2))
    body = block(title, *parts).text
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title></head>\n<body style="font-family: sans-serif">{body}</body></html>\n'
    )


def _draw(result: TuningResult, figure: Any) -> None:
    """The value of every trial with the best so far (left), and the validation curves (right)."""
    left, right = figure.subplots(1, 2, sharey=True)
    valued = [trial for trial in result.trials if trial.value is not None]
    for state, colour in (("complete", "C0"), ("pruned", "0.6"), ("running", "C1")):
        own = [trial for trial in valued if trial.state == state]
        numbers, values = [t.number for t in own], [t.value for t in own]
        if own:
            left.plot(numbers, values, "o", color=colour, markersize=4, label=state)
    best = [
        max((t.value or 0.0 for t in valued[: end + 1] if t.state == "complete"), default=None)
        for end in range(len(valued))
    ]
    left.plot([trial.number for trial in valued], best, color="C0", linewidth=1)
    for trial in result.trials:
        chosen = result.best is not None and trial.number == result.best.number
        right.plot(
            range(1, len(trial.curve) + 1),
            trial.curve,
            color="C0" if chosen else "0.7",
            linewidth=1.6 if chosen else 0.8,
            marker="o" if len(trial.curve) == 1 else "",
            markersize=3,
            zorder=3 if chosen else 1,
        )
    left.set_xlabel("trial")
    right.set_xlabel("epoch")
    left.set_ylabel(plain(f"validation {metric_title(result.metric)}"), parse_math=False)
    left.grid(visible=True, alpha=0.25)
    right.grid(visible=True, alpha=0.25)
    if valued:
        left.legend(frameon=False)
