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
)
from seqzoo.cli.output import log_from, print_json
from seqzoo.cli.parsing import read_split
from seqzoo.cli.tables import facts, metrics_table, show
from seqzoo.config import parse_overrides, without_replaced_loss
from seqzoo.errors import ConfigError, TrainingError
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.plugins import catalogue
from seqzoo.training import loop
from seqzoo.training.processes import is_main_process
from seqzoo.training.progress import Reporter, for_terminal
from seqzoo.training.recipe import Recipe, read_recipe_file
from seqzoo.training.start import names_checkpoint
from seqzoo.training.without_hold_out import with_epochs_of_run

__all__ = ["recipe_values", "train"]


def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RECIPE",
            help="Name of an architecture, path of a recipe.yaml, or a checkpoint to continue "
            "from: its name, ./folder or hf://org/name.",
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
        typer.Option(
            metavar="DIR",
            help="Folder of the run (default: runs/ARCHITECTURE, or runs/CHECKPOINT-newer).",
        ),
    ] = None,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    label_col: LabelCol = None,
    min_count: MinCount = None,
    split: SplitSettings = None,
    item_features: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of item features (CSV, Parquet, JSON lines), or `labels` for the titles.",
        ),
    ] = None,
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

    Ctrl-C stops the run and keeps the best epoch so far; the same command resumes it. If a
    checkpoint is given, training continues from its weights on newer data: known items keep their
    indices, and new items are added.
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
        item_features=item_features,
    )
    recipe = _recipe(what, settings or [], options)
    if out is None:
        out = loop.default_folder(recipe)
    _require_writable(out)
    reporter = Reporter() if quiet else for_terminal()
    result = loop.train(recipe, out, reporter=reporter, overwrite=overwrite, trackers=tracker or [])
    if not is_main_process():
        return
    started = {"start": result.start, "new_items": result.new_items} if result.start else {}
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
                **started,
            }
        )
    else:
        _show(result)
    if result.interrupted:
        raise typer.Exit(130)


def _recipe(what: str, settings: list[str], options: Mapping[str, Any]) -> Recipe:
    """The complete recipe, checked before any data are read."""
    recipe = Recipe.make(recipe_values(what, settings, options))
    for protocol in recipe.train.protocols:
        split_of(get_protocol(protocol), recipe.data.split)
    return recipe


def recipe_values(what: str, settings: list[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that a command line gives: what to train, settings and options.

    Raises:
        ConfigError: a setting cannot be read, or a folder was given in place of a recipe.
    """
    is_file = what.endswith((".yaml", ".yml"))
    changes = parse_overrides(settings)
    if is_file:
        values = read_recipe_file(what)
        changes = with_epochs_of_run(changes, Path(what).parent)
        stored, other = values.get("model"), changes.get("model")
        if isinstance(stored, Mapping) and isinstance(other, Mapping):
            values["model"] = without_replaced_loss(stored, other)
    elif names_checkpoint(what):
        values = {"start": what}
    elif what not in catalogue().architectures and (Path(what) / "config.json").is_file():
        raise ConfigError(
            f"'{what}' is not a registered name; to continue from the checkpoint in the folder: "
            f"seqzoo train ./{what} --data NEWER"
        )
    else:
        values = {"architecture": what}
    return _merged(_merged(values, changes), {"data": options})


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
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    if nearest.is_symlink() and not nearest.exists():
        raise TrainingError(
            f"{nearest} is a link to {nearest.readlink()}, which does not exist; give a folder as "
            "--out"
        )
    if not nearest.is_dir():
        raise TrainingError(f"{nearest} is a file; give a folder as --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise TrainingError(f"{nearest} cannot be written to; give another folder as --out")


def _show(result: loop.TrainingResult) -> None:
    model = as_model(result.out)
    state = "stopped" if result.interrupted else "trained"
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    kept = f"the best, epoch {result.best_epoch}, is in {result.out}"
    if not result.validated:
        kept = f"the weights are in {result.out}, without validation and without stored metrics"
    added = f"; {result.new_items:,} new items" if result.start else ""
    show(
        f"{state}: {epochs} in {seconds(result.seconds)}; {kept}{added}",
        "",
        *([metrics_table(result.metrics), ""] if result.metrics else []),
        facts(
            [
                ("use", recommend_command(model, result.examples)),
                ("measure", eval_command(model, result.metrics)),
            ]
        ),
    )
