"""``tune``: search the settings of an architecture; ends with the best run and its recipe."""

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqzoo.data.interactions import Interactions
from seqzoo.data.readers.memory import InMemory
from seqzoo.data.sequences import SequenceData
from seqzoo.errors import TrainingError, UsageError
from seqzoo.plugins import catalogue
from seqzoo.training.checks import prepare_data
from seqzoo.training.defaults import adapted
from seqzoo.training.loop import train
from seqzoo.training.recipe import Recipe, table_in
from seqzoo.tuning.folder import open_folder
from seqzoo.tuning.report import write_report
from seqzoo.tuning.result import BestTrial, TrialOutcome, TuningResult
from seqzoo.tuning.space import Space, nested, space_of, with_defaults
from seqzoo.tuning.study import Study, import_optuna
from seqzoo.tuning.trial import Interrupted, run_trial
from seqzoo.validation import whole_number

__all__ = ["TuningResult", "tune"]

logger = logging.getLogger("seqzoo")

_BEST = "best"


def tune(
    recipe: str | Mapping[str, Any],
    data: str | Path | Interactions | InMemory | None = None,
    *,
    trials: int = 30,
    out: str | Path | None = None,
    search: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> TuningResult:
    """Search settings by the validation metric, and train the best ones into a checkpoint.

    Every trial is a run as ``seqzoo.train`` makes it. The first has the defaults. Trials whose
    validation curve is below the median of the others are stopped. The test items are read once,
    at the end, for the best trial. A call with the same ``out`` resumes the search, and several
    processes may work on it at once.

    Args:
        recipe: name of an architecture, or a recipe; what it sets is not searched.
        data: a name, a path, or a table in memory; None for the recipe's, whose paths may be tables
            in memory too.
        trials: number of trials in the folder, over all calls.
        out: folder of the tuning; None for ``runs/ARCHITECTURE-tuned``.
        search: ranges (``"1e-4..1e-2"``) and choices (``[16, 32]``) by setting, in place of those
            that the architecture declares.
        seed: random seed of the search; ``train.seed`` is that of the runs.

    Raises:
        UsageError: optuna is not installed.
        ConfigError: the recipe or the search space is invalid.
        TrainingError: the folder holds another tuning or something else, or every trial failed.
        DataError: the data cannot be used.
    """
    started = time.perf_counter()
    import_optuna()
    whole_number("trials", trials, 1)
    given: dict[str, Any] = {"architecture": recipe} if isinstance(recipe, str) else dict(recipe)
    data = table_in(given, "source") if data is None else data
    older, features = table_in(given, "replay_source"), table_in(given, "item_features")
    base = Recipe.make(given, data)
    spec = catalogue().architectures.get(base.architecture)
    if spec.baseline and not search:
        raise UsageError(
            f"'{spec.name}' is a baseline, which declares nothing to search; name settings with "
            "--search, for example --search model.neighbours=10..200"
        )
    space = space_of(base.architecture, search or {}, given)

    def recipe_of(sections: Mapping[str, Any]) -> Recipe:
        merged = {**given}
        for section, values in sections.items():
            merged[section] = {**given.get(section, {}), **values}
        return Recipe.make(merged, data)

    _check_ends(space, recipe_of)
    prepared = prepare_data(base, data, older, features)
    # The defaults are those of a plain run, some of which depend on the data.
    defaults = adapted(base, prepared)[0].to_dict()
    first = {f"{s}.{key}": v for s in ("model", "train") for key, v in defaults[s].items()}
    space = with_defaults(space, first, search or {})
    folder = Path("runs", f"{base.architecture}-tuned") if out is None else Path(out)
    open_folder(folder, base, space)
    study = Study(folder, space, seed)
    interrupted = False
    try:
        while (trial := study.ask(trials, first)) is not None:
            run_trial(study, trial, recipe_of, prepared)
            write_report(folder, _result(study, folder, base))
        metrics = _finish(study, folder, recipe_of, prepared)
    except Interrupted:
        interrupted, metrics = True, {}
        logger.warning("stopped; the same command resumes the search in %s", folder)
    result = _result(study, folder, base, metrics, time.perf_counter() - started, interrupted)
    write_report(folder, result)
    if result.best is None and not interrupted and not study.running():
        reasons = [trial.error for trial in result.trials if trial.error]
        raise TrainingError(f"no trial was completed; the last one: {reasons[-1]}")
    return result


def _check_ends(space: Space, recipe_of: Any) -> None:
    """Check the ends of every range, and every choice, before any trial.

    Raises:
        ConfigError: a setting is unknown or a value is invalid.
    """
    for key, entry in space.items():
        for value in entry.ends:
            recipe_of(nested({key: value}))


def _finish(
    study: Study, folder: Path, recipe_of: Any, prepared: SequenceData
) -> dict[str, dict[str, float]]:
    """Measure the best run on the test items, when all trials have ended; {} before."""
    with study.alone():
        best = study.best()
        if best is None or study.running():
            if study.running():
                logger.info("other processes still run trials; the last one ends the tuning")
            return {}
        out = folder / _BEST
        kept = study.folder_of(best.user_attrs["folder"])
        if kept.is_dir():
            if out.exists():
                shutil.rmtree(out)
            kept.rename(out)
        return train(recipe_of(nested(best.user_attrs["settings"])), out, prepared=prepared).metrics


def _result(
    study: Study,
    folder: Path,
    base: Recipe,
    metrics: dict[str, dict[str, float]] | None = None,
    seconds: float = 0.0,
    interrupted: bool = False,
) -> TuningResult:
    outcomes = []
    for trial in study.trials():
        state = {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
        curve = tuple(trial.intermediate_values[key] for key in sorted(trial.intermediate_values))
        value = max(curve, default=None) if state == "pruned" else trial.value
        attrs = trial.user_attrs
        outcomes.append(
            TrialOutcome(
                trial.number,
                state,
                value,
                dict(attrs.get("settings", {})),
                curve,
                str(attrs.get("error", "")),
            )
        )
    best = study.best()
    return TuningResult(
        out=folder,
        architecture=base.architecture,
        metric=base.train.metric,
        trials=outcomes,
        best=None
        if best is None
        else BestTrial(best.number, float(best.value or 0.0), dict(best.user_attrs["settings"])),
        metrics=metrics or {},
        seconds=seconds,
        interrupted=interrupted,
    )
