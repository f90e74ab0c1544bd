"""The folder of a run: which run it holds, and a lock so that only one process writes there."""

import os
from pathlib import Path
from types import TracebackType

from seqzoo.errors import TrainingError
from seqzoo.storage.atomic import refused, try_lock
from seqzoo.training.recipe import Recipe, differences
from seqzoo.training.state import FOLDER, Progress, holds_run, read_progress, write_progress

__all__ = ["RunFolder"]

_LOCK = "lock"


class RunFolder:
    """A folder that one training at a time may use; the lock ends with the process at the latest.

    Attributes:
        path: the folder of the checkpoint; the run's own folder ``training`` is inside.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._held_run = False
        self._found = False

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def acquire(self, recipe: Recipe, overwrite: bool, *, lock: bool) -> Progress:
        """Check that the folder is free or holds a run; nothing is written.

        Args:
            recipe: the recipe of the run.
            overwrite: whether another run's state is ignored.
            lock: whether to lock a folder that exists; one that does not is locked by ``begin``.

        Raises:
            TrainingError: the folder is in use, or holds other files or another run.
        """
        asked_for = recipe.asked_for()
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"{self.path} is a file; give a folder as --out")
        if lock and (self.path / FOLDER).is_dir():
            self._lock()
        self._held_run = holds_run(self.path)
        if not self._held_run:
            # A kill may have left the run's own folder without its first file.
            if self.path.is_dir() and any(path.name != FOLDER for path in self.path.iterdir()):
                raise TrainingError(
                    f"{self.path} is not empty and holds no run; give another folder as --out"
                )
            return Progress(asked_for)
        found = None if overwrite else read_progress(self.path)
        if found is None:
            return Progress(asked_for)
        self._found = True
        # The data may still decide what is not given; the rest is checked before they are read.
        given = {*(recipe.given or ()), *(f"data.{key}" for key in asked_for["data"])}
        others = differences(found.recipe, asked_for)
        _refuse(self.path, [each for each in others if each.split()[0] in {"architecture", *given}])
        return found

    def check_recipe(self, progress: Progress, recipe: Recipe) -> None:
        """Check that the run in the folder has a recipe; a new run gets it.

        Raises:
            TrainingError: the folder holds another run.
        """
        asked_for = recipe.asked_for()
        if not self._found:
            progress.recipe = asked_for
            return
        _refuse(self.path, differences(progress.recipe, asked_for))

    def begin(self, progress: Progress) -> None:
        """Create and lock the folder if ``acquire`` found none, and write a run's first progress.

        A kill during the first epoch then leaves a folder that the same command recognises, and a
        folder that cannot be written is found before the epoch.

        Raises:
            TrainingError: another training run has started there since ``acquire``.
            CheckpointError: the folder cannot be written.
        """
        if self._descriptor is None:
            try:
                (self.path / FOLDER).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise refused(self.path, error) from error
            self._lock()
            if holds_run(self.path) and not self._held_run:
                raise self._in_use()
        if not progress.epoch:
            write_progress(self.path, progress)

    def _lock(self) -> None:
        flags = os.O_RDONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            descriptor = os.open(self.path / FOLDER / _LOCK, flags, 0o644)
        except OSError:
            # Without write permission only a finished run can be read, which needs no lock.
            return
        if try_lock(descriptor) is False:
            os.close(descriptor)
            raise self._in_use()
        self._descriptor = descriptor

    def _in_use(self) -> TrainingError:
        return TrainingError(
            f"{self.path} is in use by another training; wait until it ends, or give another "
            "folder as --out"
        )


def _refuse(path: Path, others: list[str]) -> None:
    """Refuse a folder that holds a different run."""
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise TrainingError(
            f"{path} holds a run of another recipe ({others[0]}{more}); give another folder as "
            "--out, or add --overwrite to start again there"
        )
