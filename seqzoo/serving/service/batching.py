"""A queue with a worker thread: requests that wait at the same time are computed together."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqzoo.serving.service.errors import overloaded

__all__ = ["Batcher", "Job"]


@dataclass(eq=False)
class Job:
    """A request in the queue.

    Attributes:
        request: what is asked for.
        until: when its client stops waiting, on the monotonic clock.
        answer: the answer, or the exception.
    """

    request: Any
    until: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]" = field(repr=False)
    answer: Any = None


class Batcher:
    """Hands requests from an event loop to a worker thread, all that wait at once.

    No request waits for others to arrive: one that finds the worker free is computed alone.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Any]], Sequence[Any]],
        *,
        most: int,
        room: int,
        size: Callable[[Any], tuple[int, int]],
        waiting: int,
        name: str = "model",
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        """Start the worker.

        Args:
            work: answers requests, in their order; an exception is the answer of one of them.
            most: requests that are computed together.
            room: recommendations that are computed together; a request that has more of them is
                computed alone.
            size: the number of histories of a request, and of recommendations for each. Requests
                that are computed together all get as many as the one that asks for most.
            waiting: requests that may wait.
            name: the name of the thread.
            observe: called with the number of requests and the seconds of each computation.
        """
        self._work, self._most, self._waiting, self._observe = work, most, waiting, observe
        self._room, self._size = room, size
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"seqzoo-{name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Number of requests that wait."""
        return len(self._jobs)

    async def submit(self, request: Any, seconds: float) -> Any:
        """The answer to a request.

        Raises:
            ServiceError: too many requests wait, or the answer takes too long.
            Exception: what the work answered with.
        """
        loop = asyncio.get_running_loop()
        job = Job(request, time.monotonic() + seconds, loop, loop.create_future())
        with self._ready:
            if self._closed or len(self._jobs) >= self._waiting:
                raise overloaded("too many requests are waiting; try again later")
            self._jobs.append(job)
            self._ready.notify()
        try:
            return await asyncio.wait_for(job.future, seconds)
        except asyncio.TimeoutError:
            raise overloaded(f"there is no answer within {seconds:g} s; try again later") from None

    def close(self) -> None:
        """Answer what waits, and end the worker."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._jobs and not self._closed:
                    self._ready.wait()
                if not self._jobs:
                    return
                jobs = self._take()
            now = time.monotonic()
            # Clients that have gone away get no computation.
            jobs = [job for job in jobs if job.until > now and not job.future.cancelled()]
            if jobs:
                self._compute(jobs)

    def _take(self) -> list[Job]:
        """The oldest requests, as many as there is room for, at least one."""
        jobs, histories, k = list[Job](), 0, 1
        while self._jobs and len(jobs) < self._most:
            more, wanted = self._size(self._jobs[0].request)
            histories, k = histories + more, max(k, wanted)
            if jobs and histories * k > self._room:
                break
            jobs.append(self._jobs.popleft())
        return jobs

    def _compute(self, jobs: list[Job]) -> None:
        started = time.perf_counter()
        try:
            answers = self._work([job.request for job in jobs])
        # After any error, every client gets an answer and the worker keeps running.
        except Exception as error:
            answers = [error] * len(jobs)
        self._observe(len(jobs), time.perf_counter() - started)
        for job, answer in zip(jobs, answers, strict=True):
            job.answer = answer
        try:
            jobs[0].loop.call_soon_threadsafe(_deliver, jobs)
        except RuntimeError:  # the event loop has ended, and its clients with it
            return


def _deliver(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if isinstance(job.answer, BaseException):
            job.future.set_exception(job.answer)
        else:
            job.future.set_result(job.answer)
