"""``train``: train a model by a recipe into a checkpoint folder, and resume interrupted runs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.tracking import GeneralTracker

from seqzoo.data.datasets import source_name
from seqzoo.data.interactions import Interactions
from seqzoo.data.readers.memory import InMemory
from seqzoo.data.sequences import SequenceData
from seqzoo.errors import TrainingError, one_line
from seqzoo.notebook import in_kernel
from seqzoo.training.checks import prepare_data
from seqzoo.training.defaults import adapted
from seqzoo.training.folder import RunFolder
from seqzoo.training.generators import kept_generators
from seqzoo.training.processes import make_accelerator, warnings_once

# It imports rich, which draws from Python's generator then.
with kept_generators():
    from seqzoo.training.progress import Reporter

from seqzoo.training.recipe import Recipe, table_in
from seqzoo.training.result import TrainingResult as TrainingResult
from seqzoo.training.result import result_of, stored_metrics
from seqzoo.training.run import Run
from seqzoo.training.state import FOLDER, Progress
from seqzoo.training.trackers import check_trackers

__all__ = [
    "TrainingResult",
    "train",
]

logger = logging.getLogger("seqzoo")


def train(
    recipe: Recipe | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    reporter: Reporter | None = None,
    overwrite: bool = False,
    trackers: Sequence[str | GeneralTracker] = (),
    data: str | Path | Interactions | InMemory | None = None,
    prepared: SequenceData | None = None,
    measured: bool = True,
) -> TrainingResult:
    """Train a model and write a checkpoint folder.

    A run that was stopped by Ctrl-C or killed resumes after its last complete epoch and ends with
    the same weights, bit for bit on a CPU. Ctrl-C keeps the best checkpoint so far. The caller's
    random generators and number of threads are restored at the end.

    Under ``torchrun`` the processes share every batch: ``train.batch_size`` is the total over all
    processes, and only the main process reports and writes.

    Args:
        recipe: the architecture, its settings, the data and the training settings; or ``start``,
            the checkpoint to continue from, and the changes to its recipe.
        out: folder of the checkpoint; None for ``runs/ARCHITECTURE``, or ``runs/NAME-newer`` for a
            recipe with a start. The run keeps its state in the subfolder ``training``. Only one
            training run at a time may use the folder.
        reporter: receives the progress. If None, a notebook shows a progress bar and the curve of
            the validation metric, and a script prints nothing. The command line uses
            ``seqzoo.training.progress.for_terminal()``; ``Reporter()`` prints nothing, even in a
            notebook.
        overwrite: replace a different run in the folder.
        trackers: trackers of accelerate, or their names (``wandb``, ``tensorboard`` …), which also
            receive every epoch.
        data: what to train on instead of the recipe's ``data.source``: a name, a path, or a table
            in memory (polars, pandas, Arrow, a list of rows).
        prepared: the data that the recipe describes, if the caller has prepared them already.
        measured: whether the finished run is measured on the test items. If not, the same call
            with True measures it later.

    Raises:
        UsageError: a tracker is unknown or not installed.
        TrainingError: the folder is in use, or holds another run or other files.
        ConfigError, DataError, CheckpointError: the recipe is invalid, the data cannot be used, or
            the checkpoint cannot be written.
    """
    older = features = None
    if isinstance(recipe, Mapping):
        # A table may also be in the recipe itself.
        data = table_in(recipe, "source") if data is None else data
        older, features = table_in(recipe, "replay_source"), table_in(recipe, "item_features")
    if not isinstance(recipe, Recipe):
        recipe = Recipe.make(recipe, data)
    elif data is not None:
        recipe = replace(recipe, data=replace(recipe.data, source=source_name(data)))
    threads = torch.get_num_threads()
    folder = RunFolder(default_folder(recipe) if out is None else Path(out))
    check_not_start(recipe, folder.path)
    named = check_trackers(trackers)
    with kept_generators(), folder:
        accelerator = make_accelerator(recipe.train.precision, folder.path / FOLDER, named)
        main = accelerator.is_main_process
        # Only the main process raises errors about the folder.
        with accelerator.main_process_first():
            progress = folder.acquire(recipe, overwrite, lock=main)
        try:
            with warnings_once(accelerator):
                prepared = prepared or prepare_data(recipe, data, older, features)
                _check_same_data(folder.path, progress, prepared)
                recipe = _with_defaults(recipe, prepared, progress)
                folder.check_recipe(progress, recipe)
                if progress.finished:
                    logger.info("%s is finished; its metrics are read back", folder.path)
                    metrics = stored_metrics(folder.path)
                    found = result_of(folder.path, progress, prepared, metrics)
                else:
                    shown = (reporter or _default_reporter()) if main else Reporter()
                    run = Run(recipe, folder, progress, prepared, accelerator, shown)
                    found = run.go(measured)
                return found.started_from(recipe.start, prepared)
        finally:
            torch.set_num_threads(threads)


def default_folder(recipe: Recipe) -> Path:
    """The folder of a run for which none is given."""
    if recipe.start is None:
        return Path("runs", recipe.architecture)
    name = Path(recipe.start.source.partition("@")[0]).name
    return Path("runs", f"{name or recipe.architecture}-newer")


def check_not_start(recipe: Recipe, out: Path) -> None:
    """Refuse to write over the checkpoint that a run starts from, which resuming reads again."""
    start = None if recipe.start is None else recipe.start.folder
    if start is not None and start.resolve() == out.resolve():
        raise TrainingError(
            f"{out} is the checkpoint that the run starts from; give another folder as --out"
        )


def _with_defaults(recipe: Recipe, data: SequenceData, progress: Progress) -> Recipe:
    """The recipe with its data-dependent settings, which are logged."""
    if progress.epoch and "adapt" not in progress.recipe.get("train", {}):
        # A run that was started by a version without them resumes without them.
        return recipe
    made, chosen = adapted(recipe, data)
    for each in chosen:
        logger.info("chosen from the data: %s", each)
    return made


def _default_reporter() -> Reporter:
    if not in_kernel():
        return Reporter()
    from seqzoo.training.notebook import NotebookReporter

    return NotebookReporter()


def _check_same_data(out: Path, progress: Progress, data: SequenceData) -> None:
    """Check that a run resumes on the data it started with; record the data of a new run."""
    before, now = progress.fingerprint, data.fingerprint
    if before and before != now:
        raise TrainingError(
            f"{out} holds a run on other data: those of '{data.name}' have changed since "
            f"(fingerprint {one_line(before, 100)} there and {now} here); give another folder as "
            "--out, or add --overwrite to start again there"
        )
    progress.fingerprint = now
