"""``seqzoo train``: a checkpoint from an architecture or a recipe, and data."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from seqzoo.cli.formats import as_model, eval_command, recommend_command, seconds
from seqzoo.cli.options import (
    Data,
    ItemCol,
    Json,
    LabelCol,
    MinCount,
    Quiet,
    SplitSettings,
    TimeCol,
    UserCol,
    given,
    read_split,
)
from seqzoo.cli.output import log_from, print_json
from seqzoo.cli.tables import facts, metrics_table, show
from seqzoo.config import parse_overrides
from seqzoo.errors import ConfigError, TrainingError
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.training import loop
from seqzoo.training.processes import is_main_process
from seqzoo.training.progress import Reporter, for_terminal
from seqzoo.training.recipe import Recipe, read_recipe_file


def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ARCHITECTURE|RECIPE", help="Name of an architecture, or path of a recipe.yaml."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SECTION.KEY=VALUE]...",
            help="Settings of model, data or train; `seqzoo info ARCHITECTURE` shows them.",
        ),
    ] = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run (default: runs/ARCHITECTURE)."),
    ] = None,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    label_col: LabelCol = None,
    min_count: MinCount = None,
    split: SplitSettings = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a different run in the folder.")
    ] = False,
    tracker: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Report to wandb, tensorboard, mlflow …; repeatable."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; the folder of the run is a checkpoint.

    Ctrl-C stops the run and keeps the best epoch so far; the same command resumes it.
    """
    log_from(logging.ERROR if quiet else logging.INFO)
    options = given(
        source=data,
        user_col=user_col,
        item_col=item_col,
        time_col=time_col,
        label_col=label_col,
        min_count=min_count,
        split=read_split(split),
    )
    recipe = _recipe(what, settings or [], options)
    if out is None:
        out = Path("runs", recipe.architecture)
    _require_writable(out)
    reporter = Reporter() if quiet else for_terminal()
    result = loop.train(recipe, out, reporter=reporter, overwrite=overwrite, trackers=tracker or [])
    if not is_main_process():
        return
    if as_json:
        print_json(
            {
                "out": str(result.out),
                "best_epoch": result.best_epoch,
                "epochs": result.epochs,
                "metrics": result.metrics,
                "seconds": result.seconds,
                "interrupted": result.interrupted,
                "stages": [summary.to_json() for summary in result.stages],
            }
        )
    else:
        _show(result)
    if result.interrupted:
        raise typer.Exit(130)


def _recipe(what: str, settings: list[str], options: Mapping[str, Any]) -> Recipe:
    """The complete recipe, checked before any data are read."""
    is_file = what.endswith((".yaml", ".yml"))
    if (Path(what) / "recipe.yaml").is_file():
        raise ConfigError(f"{what} is a folder; train its recipe: seqzoo train {what}/recipe.yaml")
    values = read_recipe_file(what) if is_file else {"architecture": what}
    values = _merged(_merged(values, parse_overrides(settings)), {"data": options})
    recipe = Recipe.make(values)
    for protocol in recipe.train.protocols:
        split_of(get_protocol(protocol), recipe.data.split)
    return recipe


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the changes applied, section by section."""
    result = dict(values)
    for key, change in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(change, Mapping)
        result[key] = _merged(old, change) if both else change  # type: ignore[arg-type]
    return result


def _require_writable(out: Path) -> None:
    """Fail now, not after the first epoch, if the folder cannot be made."""
    place = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    if place.is_symlink() and not place.exists():
        raise TrainingError(
            f"{place} is a link to {place.readlink()}, which does not exist; give a folder as --out"
        )
    if not place.is_dir():
        raise TrainingError(f"{place} is a file; give a folder as --out")
    if not os.access(place, os.W_OK | os.X_OK):
        raise TrainingError(f"{place} cannot be written to; give another folder as --out")


def _show(result: loop.TrainingResult) -> None:
    model = as_model(result.out)
    state = "stopped" if result.interrupted else "trained"
    show(
        f"{state}: {result.epochs} epochs in {seconds(result.seconds)}; the best, epoch "
        f"{result.best_epoch}, is in {result.out}",
        "",
        *([metrics_table(result.metrics), ""] if result.metrics else []),
        facts(
            [
                ("use", recommend_command(model, result.examples)),
                ("measure", eval_command(model, result.metrics)),
            ]
        ),
    )
