"""Blocks of users scored by the workers of a Ray cluster."""

import logging
from collections.abc import Generator, Iterator
from typing import Any

import ray
import torch

from seqzoo.errors import SeqzooError, UsageError, error_text
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.batch.score import Answered, Options, answer
from seqzoo.serving.batch.tasks import Task
from seqzoo.serving.batch.users import Block

__all__ = ["RayEngine", "Scorer"]

_AHEAD = 2
"""Tasks of each worker, so that none waits for the next one."""
_LIVES = 8
"""How often a worker that was lost is started again, and its task tried again."""


class Scorer:
    """A worker: it holds the model, and scores one block after another on one core."""

    def __init__(self, model: SequenceModel, options: Options, everyone: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self._model, self._options, self._everyone = model, options, everyone

    def score(
        self, users: Any, items: Any, times: Any, places: list[str] | None, lists: dict[str, Any]
    ) -> Answered | SeqzooError:
        """The recommendations for a block; errors of users are values, as Ray would wrap them."""
        block = Block(
            users, items, times, (lambda row: "") if places is None else places.__getitem__
        )
        try:
            return answer(self._model, block, self._options, **self._everyone, **lists)
        except SeqzooError as error:
            return error


class RayEngine:
    """Scores on the cluster that this process is connected to, or that ``RAY_ADDRESS`` names.

    Without either a cluster is started on this machine, and ended after the run. A worker that is
    lost is started again, and what it was computing is computed again.
    """

    def __init__(
        self,
        model: SequenceModel,
        options: Options,
        everyone: dict[str, Any],
        workers: int | None = None,
    ) -> None:
        """Prepare; nothing is started before ``run``.

        Args:
            model: a model on the CPU.
            options: the same for all users.
            everyone: candidates and exclusions for all users.
            workers: number of workers, one core each; None for one on each core of the cluster.
        """
        self._model, self._options, self._everyone = model, options, everyone
        self._workers = workers
        self._held: Any = None

    def run(self, tasks: Iterator[Task]) -> Generator[tuple[Task, Answered], None, None]:
        """Each task with its answer, as soon as it is there.

        Raises:
            UsageError: the cluster cannot be reached, has fewer cores than workers, or loses them
                again and again.
            SeqzooError: what scoring in this process would raise.
        """
        started = not ray.is_initialized()
        if started:
            _connect()
        workers: list[Any] = []
        try:
            workers += self._start()
            yield from self._run(tasks, workers)
        except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
            raise UsageError(
                f"a worker of the Ray cluster was lost {_LIVES + 1} times; give it more memory, or "
                "choose a smaller --batch-size (the same command then resumes)"
            ) from error
        finally:
            for worker in workers:
                ray.kill(worker)
            self._held = None
            if started:
                ray.shutdown()

    def _start(self) -> list[Any]:
        cluster: Any = ray  # some of its functions have no types
        cores = int(cluster.cluster_resources().get("CPU", 0))
        count = cores if self._workers is None else self._workers
        if not 1 <= count <= cores:
            raise UsageError(
                f"workers is {count}, and the Ray cluster has {cores} cores; expected 1 to {cores}"
            )
        actor = ray.remote(num_cpus=1, max_restarts=_LIVES, max_task_retries=_LIVES)(Scorer)
        # Kept for as long as the run takes: a worker that is started again asks for it again.
        self._held = ray.put(self._model)
        return [actor.remote(self._held, self._options, self._everyone) for _ in range(count)]

    def _run(self, tasks: Iterator[Task], workers: list[Any]) -> Iterator[tuple[Task, Answered]]:
        pending: dict[Any, tuple[Task, Any]] = {}
        idle = workers * _AHEAD
        while True:
            while idle and (task := next(tasks, None)) is not None:
                worker = idle.pop(0)
                pending[self._send(worker, task)] = task, worker
            if not pending:
                return
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            task, worker = pending.pop(ready)
            idle.append(worker)
            found = ray.get(ready)
            if isinstance(found, SeqzooError):
                raise found
            yield task, found

    def _send(self, worker: Any, task: Task) -> Any:
        block, options = task.block, self._options
        # Where a user comes from is only needed for messages.
        named = "error" in (options.on_unknown, options.on_cold)
        places = [block.place(row) for row in range(len(block.users))] if named else None
        lists = {what: each for what, each in task.lists.items() if what not in self._everyone}
        return worker.score.remote(block.users, block.items, block.times, places, lists)


def _connect() -> None:
    """Connect to the cluster that ``RAY_ADDRESS`` names, or start one on this machine."""
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    # An OSError, which would read as if the out file could not be written.
    except ConnectionError as error:
        raise UsageError(
            f"the Ray cluster cannot be reached ({error_text(error)}); set RAY_ADDRESS to the "
            "address of a running one, or unset it to start a cluster on this machine"
        ) from error
