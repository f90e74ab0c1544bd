"""The study of a tuning: its trials in a journal file that several processes may write.

Optuna's journal is a file of JSON lines. A trial is also locked by the process that runs it, so
that a trial whose process was killed is recognised and resumed.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqzoo.errors import TrainingError, UsageError, error_text
from seqzoo.storage.atomic import try_lock
from seqzoo.tuning.space import Range, Space

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.trial import FrozenTrial, Trial

__all__ = ["Study", "import_optuna"]

_JOURNAL = "study.jsonl"
_NAME = "seqzoo"
_STARTUP_TRIALS = 4
_WARMUP_EPOCHS = 2


def import_optuna() -> Any:
    """The module ``optuna``, silenced.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "tuning needs optuna, which is not installed: pip install 'seqzoo[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Study:
    """The trials in a folder.

    Args:
        folder: the folder of the tuning; it exists.
        space: what is searched.
        seed: random seed of the sampler.
    """

    def __init__(self, folder: Path, space: Space, seed: int) -> None:
        self._optuna = import_optuna()
        self._folder, self._space, self._seed = folder, space, seed
        self._locks: dict[int, int] = {}
        (folder / "trials").mkdir(exist_ok=True)
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        try:
            self._study: OptunaStudy = self._optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(folder / _JOURNAL))),
                study_name=_NAME,
                direction="maximize",
                load_if_exists=True,
                pruner=self._optuna.pruners.MedianPruner(_STARTUP_TRIALS, _WARMUP_EPOCHS),
            )
        # Optuna has no exception of its own for a damaged journal.
        except Exception as error:
            raise TrainingError(
                f"{folder / _JOURNAL} cannot be read ({error_text(error)[:200]}); tune in another "
                "folder"
            ) from error

    def folder_of(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self._folder / "trials" / str(number)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process starts or ends a trial here."""
        with (self._folder / "lock").open("ab") as file:
            while try_lock(file.fileno()) is False:
                time.sleep(0.02)
            yield

    def ask(self, trials: int, first: Mapping[str, Any]) -> "Trial | None":
        """The next trial, locked by this process; None if ``trials`` have been started.

        A trial whose process has ended without a result is resumed, in the folder of its number.
        The first of all has the settings ``first``, as far as they are within the space.
        """
        with self.alone():
            everything = self._study.get_trials(deepcopy=False)
            lost = [trial for trial in everything if self._is_lost(trial)]
            for trial in lost:
                # Its settings are tried again, and its folder is resumed.
                self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
                kept = trial.user_attrs.get("folder", trial.number)
                self._study.enqueue_trial(trial.params, {"folder": kept})
            if not everything:
                inside = {k: first[k] for k in self._space if first.get(k) in self._space[k]}
                self._study.enqueue_trial(inside)
            if self.started() >= trials:
                return None
            # The seed follows the number, so that a resumed study draws as an uninterrupted one.
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=(self._seed * 100_003 + len(everything)) % 2**32
            )
            begun = self._study.ask()
            if "folder" not in begun.user_attrs:
                begun.set_user_attr("folder", begun.number)
            self._locks[begun.number] = descriptor = self._open(begun.number)
            try_lock(descriptor)
            return begun

    def settings_of(self, trial: "Trial") -> dict[str, Any]:
        """The settings that a trial draws."""
        drawn: dict[str, Any] = {}
        for key, entry in self._space.items():
            if not isinstance(entry, Range):
                drawn[key] = trial.suggest_categorical(key, entry.values)
            elif entry.whole:
                low, high = int(entry.low), int(entry.high)
                drawn[key] = trial.suggest_int(key, low, high, log=entry.log)
            else:
                # Three digits are enough, and read better in a recipe.
                value = trial.suggest_float(key, entry.low, entry.high, log=entry.log)
                drawn[key] = min(max(float(f"{value:.3g}"), entry.low), entry.high)
        trial.set_user_attr("settings", drawn)
        return drawn

    def tell(self, trial: "Trial", state: str, value: float | None = None, error: str = "") -> None:
        """The outcome of a trial: ``complete`` with its value, ``pruned``, or ``failed``."""
        if error:
            trial.set_user_attr("error", error)
        states = self._optuna.trial.TrialState
        with self.alone():
            chosen = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
            self._study.tell(trial, value if state == "complete" else None, state=chosen[state])
            self.unlock(trial.number)

    def unlock(self, number: int) -> None:
        """Give up a trial without a result, so that it can be resumed."""
        descriptor = self._locks.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)

    def trials(self) -> "list[FrozenTrial]":
        """All trials except those that were resumed under another number."""
        failed = self._optuna.trial.TrialState.FAIL
        found = self._study.get_trials(deepcopy=False)
        return [t for t in found if t.state != failed or "error" in t.user_attrs]

    def started(self) -> int:
        """The number of trials that run or have ended."""
        queued = self._optuna.trial.TrialState.WAITING
        return sum(trial.state != queued for trial in self.trials())

    def running(self) -> bool:
        """Whether a trial runs, here or in another process."""
        state = self._optuna.trial.TrialState.RUNNING
        return any(trial.state == state for trial in self.trials())

    def best(self) -> "FrozenTrial | None":
        """The complete trial with the highest value; the first one among equals."""
        state = self._optuna.trial.TrialState.COMPLETE
        complete = [trial for trial in self.trials() if trial.state == state]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

    def _is_lost(self, trial: "FrozenTrial") -> bool:
        if trial.state != self._optuna.trial.TrialState.RUNNING or trial.number in self._locks:
            return False
        descriptor = self._open(trial.number)
        free = try_lock(descriptor) is not False
        os.close(descriptor)
        return free

    def _open(self, number: int) -> int:
        path = self._folder / "trials" / f"{number}.lock"
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
