"""Blocks of users scored by the workers of a Ray cluster."""

import logging
from collections.abc import Generator, Iterator
from itertools import chain
from typing import Any

import ray
import torch

from seqzoo.errors import SeqzooError, UsageError, error_text
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.batch.score import Answered, Options, answer
from seqzoo.serving.batch.tasks import Task
from seqzoo.serving.batch.users import Block

__all__ = ["RayEngine", "Scorer"]

logger = logging.getLogger("seqzoo.ray")

_AHEAD = 2
"""Tasks of each worker, so that none waits for the next one."""
_LIVES = 8
"""How often a worker that was lost is started again, and its task tried again."""
_PATIENCE = 60.0
"""Seconds without any answer after which a line says what the run waits for."""
_WAY_OUT = "end other work there, or leave out --engine ray to score in this process"


class Scorer:
    """A worker: it holds the model, and scores one block after another on one core."""

    def __init__(self, model: SequenceModel, options: Options, everyone: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self._model, self._options, self._everyone = model, options, everyone

    def ready(self) -> None:
        """Answers as soon as the worker has a core and the model."""

    def score(
        self, users: Any, items: Any, times: Any, locations: list[str] | None, lists: dict[str, Any]
    ) -> Answered | SeqzooError:
        """The recommendations for a block; errors of users are values, as Ray would wrap them."""
        block = Block(
            users, items, times, (lambda row: "") if locations is None else locations.__getitem__
        )
        try:
            return answer(self._model, block, self._options, **self._everyone, **lists)
        except SeqzooError as error:
            return error


class RayEngine:
    """Scores on the cluster that this process is connected to, or that ``RAY_ADDRESS`` names.

    Without either, a cluster is started on this machine and ended after the run. A worker starts as
    soon as the cluster has a core for it. A worker that is lost is started again, and its block is
    computed again.
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
            workers: number of workers, one core each; None for one on each core of the cluster that
                is free when the run starts, and at least one.
        """
        self._model, self._options, self._everyone = model, options, everyone
        self._workers = workers
        self._held: Any = None

    def run(self, tasks: Iterator[Task]) -> Generator[tuple[Task, Answered], None, None]:
        """Each task with its answer, as soon as it is there.

        Raises:
            UsageError: the cluster cannot be reached, has fewer cores than workers, cannot start
                them, or loses them again and again.
            SeqzooError: what scoring in this process would raise.
        """
        first = next(tasks, None)
        if first is None:
            return
        started = not ray.is_initialized()
        if started:
            _connect()
        workers: list[Any] = []
        try:
            workers += self._start()
            yield from self._run(chain([first], tasks), workers)
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
        """Ask for the workers; the cluster starts each when it has a free core."""
        cores, free = _cores()
        if not cores:
            raise UsageError("the Ray cluster has no cores; start a node of it that has some")
        count = max(free, 1) if self._workers is None else self._workers
        if not 1 <= count <= cores:
            raise UsageError(
                f"workers is {count}, and the Ray cluster has {cores} cores; expected 1 to {cores}"
            )
        if not free:
            logger.warning(
                "waiting for a core of the Ray cluster: all %d are in use; %s", cores, _WAY_OUT
            )
        elif free < count:
            logger.info(
                "free cores of the Ray cluster: %d of %d; %d of %d workers start now, the others "
                "when more are free",
                free,
                cores,
                free,
                count,
            )
        actor = ray.remote(num_cpus=1, max_restarts=_LIVES, max_task_retries=_LIVES)(Scorer)
        # Kept for as long as the run takes: a worker that is started again asks for it again.
        self._held = ray.put(self._model)
        return [actor.remote(self._held, self._options, self._everyone) for _ in range(count)]

    def _run(self, tasks: Iterator[Task], workers: list[Any]) -> Iterator[tuple[Task, Answered]]:
        starting = {worker.ready.remote(): worker for worker in workers}
        pending: dict[Any, tuple[Task, Any]] = {}
        idle: list[Any] = []
        warned = False
        while True:
            while idle and (task := next(tasks, None)) is not None:
                worker = idle.pop(0)
                pending[self._send(worker, task)] = task, worker
            if idle and not pending:
                if starting:
                    logger.info("done before %d of %d workers started", len(starting), len(workers))
                return
            found, _ = ray.wait([*starting, *pending], num_returns=1, timeout=_PATIENCE)
            if not found:
                if not warned:
                    _say_what_is_awaited(len(workers) - len(starting), len(workers))
                warned = True
                continue
            (ready,) = found
            if ready in starting:
                _check_started(ready)
                idle += [starting.pop(ready)] * _AHEAD
                logger.info("%d of %d workers started", len(workers) - len(starting), len(workers))
                continue
            task, worker = pending.pop(ready)
            idle.append(worker)
            answered = ray.get(ready)
            if isinstance(answered, SeqzooError):
                raise answered
            yield task, answered

    def _send(self, worker: Any, task: Task) -> Any:
        block, options = task.block, self._options
        # Where a user comes from is only needed for messages.
        named = "error" in (options.on_unknown, options.on_cold)
        locations = [block.locate(row) for row in range(len(block.users))] if named else None
        lists = {what: each for what, each in task.lists.items() if what not in self._everyone}
        return worker.score.remote(block.users, block.items, block.times, locations, lists)


def _connect() -> None:
    """Connect to the cluster that ``RAY_ADDRESS`` names, or start one on this machine."""
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    # An OSError, which would read as if the output file could not be written.
    except ConnectionError as error:
        raise UsageError(
            f"the Ray cluster cannot be reached ({error_text(error)}); set RAY_ADDRESS to the "
            "address of a running one, or unset it to start a cluster on this machine"
        ) from error


def _cores() -> tuple[int, int]:
    """Numbers of the cluster's cores and of the free ones among them."""
    cluster: Any = ray  # some of its functions have no types
    cores = int(cluster.cluster_resources().get("CPU", 0))
    return cores, min(cores, int(cluster.available_resources().get("CPU", 0)))


def _check_started(ready: Any) -> None:
    """Check that a worker has started.

    Raises:
        UsageError: it cannot, because the model cannot be loaded there, for example.
    """
    try:
        ray.get(ready)
    except ray.exceptions.RayError as error:
        raise UsageError(
            f"a worker of the Ray cluster cannot start ({error_text(error)[-300:]}); all its "
            "machines need this version of seqzoo and the plugins of the model"
        ) from error


def _say_what_is_awaited(started: int, workers: int) -> None:
    """Log why there has been no answer for a while."""
    cores, free = _cores()
    state = f"free cores: {free} of {cores}"
    if started:
        logger.warning(
            "no worker of the Ray cluster has answered for %.0f s (%d of %d have started, %s); one "
            "that is lost starts again when a core is free",
            _PATIENCE,
            started,
            workers,
            state,
        )
    else:
        logger.warning(
            "no worker has started on the Ray cluster for %.0f s (%s); %s",
            _PATIENCE,
            state,
            _WAY_OUT,
        )
