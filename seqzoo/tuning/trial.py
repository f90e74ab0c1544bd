"""One trial: a run whose validation curve the study sees, and which it may stop."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqzoo.data.sequences import SequenceData
from seqzoo.errors import ConfigError, TrainingError
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from seqzoo.training.recipe import Recipe
from seqzoo.tuning.space import nested
from seqzoo.tuning.study import Study

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Interrupted", "PrunedError", "remove", "run_trial"]

logger = logging.getLogger("seqzoo")


class PrunedError(Exception):
    """Ends a run whose validation curve is below that of others."""


class Interrupted(Exception):  # noqa: N818 it is not an error
    """Ctrl-C has ended a run; its state is kept."""


class _Watching(Reporter):
    """Reports each validation value to the study, and ends the run if the study prunes it."""

    def __init__(self, trial: "Trial") -> None:
        self._trial = trial

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Report an epoch.

        Raises:
            PrunedError: the study prunes the trial.
        """
        self._trial.report(record["value"], record["epoch"])
        if self._trial.should_prune():
            raise PrunedError


def run_trial(
    study: Study,
    trial: "Trial",
    recipe_of: Callable[[Mapping[str, Any]], Recipe],
    data: SequenceData,
) -> None:
    """Train with the settings that a trial draws, and report the outcome to the study.

    The folder of a trial stays only while no other is better.

    Raises:
        Interrupted: Ctrl-C; the trial can be resumed.
    """
    drawn = study.settings_of(trial)
    folder = study.folder_of(trial.user_attrs["folder"])
    before = time.perf_counter()
    try:
        recipe = recipe_of(nested(drawn))
        result = train(recipe, folder, reporter=_Watching(trial), prepared=data, measured=False)
    except PrunedError:
        study.tell(trial, "pruned")
        remove(folder)
        _log(trial.number, "pruned", before, drawn)
        return
    except KeyboardInterrupt:
        study.unlock(trial.number)
        raise Interrupted from None
    except (ConfigError, TrainingError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            study.unlock(trial.number)
            raise Interrupted from None
        study.tell(trial, "failed", error=str(error))
        remove(folder)
        _log(trial.number, f"failed ({error})", before, drawn)
        return
    if result.interrupted:
        study.unlock(trial.number)
        raise Interrupted
    former = study.best()
    study.tell(trial, "complete", result.best_value)
    best = study.best()
    if best is not None and best.number == trial.number:
        if former is not None:
            remove(study.folder_of(former.user_attrs["folder"]))
    else:
        remove(folder)
    _log(trial.number, f"{result.best_value:.4f} after {result.best_epoch} epochs", before, drawn)


def remove(folder: Path) -> None:
    """Remove the folder of a trial; another process may have done so."""
    shutil.rmtree(folder, ignore_errors=True)


def _log(number: int, outcome: str, before: float, drawn: Mapping[str, Any]) -> None:
    settings = " ".join(f"{key}={value}" for key, value in drawn.items())
    seconds = time.perf_counter() - before
    logger.info("trial %d: %s, %.0f s: %s", number, outcome, seconds, settings)
