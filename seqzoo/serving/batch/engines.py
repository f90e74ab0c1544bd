"""Where the blocks of users are scored: in this process, or on a Ray cluster.

An engine takes tasks and returns each with its answer. The answers do not depend on the engine;
only their order does.
"""

import importlib.util
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from seqzoo.errors import UsageError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.batch.score import Answered, Options, answer
from seqzoo.serving.batch.tasks import Engine, Task
from seqzoo.validation import one_of, whole_number

if TYPE_CHECKING:
    from seqzoo.serving.batch.lists import ItemLists

__all__ = ["ENGINES", "LocalEngine", "check_engine", "make_engine"]

ENGINES = ("local", "ray")


class LocalEngine:
    """Scores in this process."""

    def __init__(self, model: SequenceModel, options: Options) -> None:
        self._model, self._options = model, options

    def run(self, tasks: Iterator[Task]) -> Generator[tuple[Task, Answered], None, None]:
        """Each task with its answer, in their order."""
        for task in tasks:
            yield task, answer(self._model, task.block, self._options, **task.lists)


def check_engine(engine: str, workers: int | None, model: SequenceModel) -> None:
    """Check the choice of an engine before any data are read.

    Raises:
        UsageError: there is no such engine, its extra is not installed, or it cannot use the device
            or the number of workers.
    """
    one_of("engine", engine, ENGINES)
    if engine == "local":
        if workers is not None:
            raise UsageError(
                f"workers is {workers}, but the local engine has none; ask for a Ray cluster with "
                "--engine ray, or leave out --workers"
            )
        return
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "the engine 'ray' needs ray, which is not installed: pip install 'seqzoo[ray]'"
        )
    if workers is not None:
        whole_number("workers", workers, 1)
    if model.device.type != "cpu":
        raise UsageError(
            f"the model is on '{model.device}'; the engine 'ray' scores on CPUs, so load the "
            "model with --device cpu, or use the local engine"
        )


def make_engine(
    engine: str,
    workers: int | None,
    model: SequenceModel,
    options: Options,
    lists: "dict[str, ItemLists | None]",
) -> Engine:
    """The engine of a name that has been checked."""
    if engine == "local":
        return LocalEngine(model, options)
    from seqzoo.serving.batch.ray_engine import RayEngine

    everyone = {
        what: each.everyone
        for what, each in lists.items()
        if each is not None and each.everyone is not None
    }
    return RayEngine(model, options, everyone, workers)
