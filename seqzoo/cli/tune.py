"""``seqzoo tune``: search the settings of an architecture on data."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.formats import as_model, eval_command, metric, seconds
from seqzoo.cli.options import (
    Data,
    ItemCol,
    Json,
    LabelCol,
    MinCount,
    Quiet,
    TimeCol,
    UserCol,
    given,
)
from seqzoo.cli.output import log_from, print_json
from seqzoo.cli.parsing import read_whole_number
from seqzoo.cli.tables import facts, metrics_table, show
from seqzoo.cli.train import recipe_values
from seqzoo.metric_names import metric_title
from seqzoo.tuning.report import PAGE
from seqzoo.tuning.result import TuningResult
from seqzoo.tuning.space import parse_search
from seqzoo.tuning.tune import tune as run_tuning

__all__ = ["tune"]


def tune(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ARCHITECTURE|RECIPE", help="Name of an architecture, or path of a recipe.yaml."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SECTION.KEY=VALUE]...", help="Settings that are fixed in every trial."
        ),
    ] = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder (default: runs/ARCHITECTURE-tuned)."),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=read_whole_number,
            help="Total number of trials in the folder, including earlier calls.",
        ),
    ] = 30,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING=RANGE",
            help="What to search: train.lr=1e-4..1e-2, model.num_layers=[1,2]; repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", parser=read_whole_number, help="Random seed of the search.")
    ] = 0,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    label_col: LabelCol = None,
    min_count: MinCount = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search hyperparameters and keep the best model.

    Every trial trains a model. The trial with the best validation metric wins; trials that fall
    behind are stopped early. Only the winner is measured on the test items, at the end. DIR/best is
    its checkpoint with the recipe, and DIR/report.html shows all trials.

    The same command resumes after Ctrl-C, and several processes may work on one folder.
    """
    log_from(logging.ERROR if quiet else logging.INFO)
    options = given(
        source=data,
        user_col=user_col,
        item_col=item_col,
        time_col=time_col,
        label_col=label_col,
        min_count=min_count,
    )
    values = recipe_values(what, settings or [], options)
    result = run_tuning(
        values, trials=trials, out=out, search=parse_search(search or []), seed=seed
    )
    if as_json:
        print_json(result.to_json())
    else:
        _show(result)
    if result.interrupted:
        raise typer.Exit(130)


def _show(result: TuningResult) -> None:
    rows = [("report", str(result.out / PAGE))]
    best = result.best
    if best is not None:
        rows = [
            ("best", f"trial {best.number}: validation {metric_title(result.metric)} "
                     f"{metric(best.value)}"),
            ("settings", " ".join(f"{key}={value}" for key, value in best.settings.items())),
            *rows,
        ]  # fmt: skip
    if result.finished:
        model = as_model(result.out / "best")
        rows += [("recipe", f"seqzoo train {model}/recipe.yaml --out runs/again")]
        rows += [("measure", eval_command(model, result.metrics))]
    state = "stopped" if result.interrupted else "tuned"
    show(
        f"{state}: {len(result.trials)} trials in {seconds(result.seconds)}, in {result.out}",
        "",
        *([metrics_table(result.metrics), ""] if result.metrics else []),
        facts(rows),
    )
