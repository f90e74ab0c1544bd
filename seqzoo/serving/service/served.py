"""A model in the service: its worker, its sessions, and its replacement by a newer checkpoint."""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from seqzoo import zoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import SeqzooError, error_text
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.stored_sessions import StoredSessions
from seqzoo.model.streaming import Streaming
from seqzoo.serving.service import reasons as why
from seqzoo.serving.service import requests as ask
from seqzoo.serving.service.batching import Batcher
from seqzoo.serving.service.errors import ServiceError, overloaded
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.titles import TitleIndex
from seqzoo.storage.atomic import COMMIT
from seqzoo.validation import looks_like_path

__all__ = ["ManySessions", "ServedModel", "split_name"]

logger = logging.getLogger("seqzoo.serve")

_CONFIG = "config.json"
# Seconds to the next try after a checkpoint could not be loaded: each pause is twice the last one.
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0
_NAMED = re.compile(r"([\w.-]+)=(.+)")


class ManySessions(Protocol):
    """Sessions of many users, in memory or in a store."""

    def observe_each(self, events: Sequence[Any]) -> list[SeqzooError | None]:
        """Add the events that are valid; for each event None or its error."""

    def recommend(self, users: Sequence[str], k: int = 10, **options: Any) -> Sequence[Any]:
        """Recommendations for users."""

    def events(self, user: str) -> int:
        """Number of events of a user."""

    def forget(self, user: str) -> int:
        """Remove all that is kept of a user; the number of events."""


class ServedModel:
    """One model: all that computes with it runs in its worker thread.

    Attributes:
        name: as it was given to the service.
        loaded: when it was loaded, unix seconds.
        reloads: how often it was replaced.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        *,
        store: str | None = None,
        device: str = "cpu",
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self.name, self.source = split_name(name)
        self._device, self._store = device, store
        self.folder = Path(self.source).expanduser() if looks_like_path(self.source) else None
        self.reloads = 0
        self._replacing = threading.Lock()
        self._taking = threading.Lock()
        self._next: tuple[SequenceModel, Any] | None = None
        self._pause = 0.0
        self._try_at: float | None = None
        self._signature = self.signature()
        self.model, self.sessions = self._load()
        self._titles: tuple[Vocabulary, asyncio.Future[TitleIndex]] | None = None
        self.loaded = time.time()
        self.batcher = Batcher(
            self._work,
            most=limits.batch,
            room=limits.recommendations,
            size=ask.size_of,
            waiting=limits.waiting,
            name=self.name,
            observe=observe,
        )

    def _load(self) -> tuple[SequenceModel, Any]:
        model = zoo.load(self.source, device=self._device)
        if not Streaming.of(model).keeps_state(0):
            return model, None
        return model, model.sessions(self._store, **({"name": self.name} if self._store else {}))

    def signature(self) -> tuple[int, ...] | None:
        """What changes when a newer checkpoint is written into the folder; None for no folder."""
        if self.folder is None:
            return None
        found: list[int] = []
        for path in (self.folder / COMMIT, self.folder / _CONFIG):
            try:
                state = path.stat()
                found += [state.st_ino, state.st_mtime_ns, state.st_size]
            except OSError:
                found.append(0)
        return tuple(found)

    @property
    def due(self) -> bool:
        """Whether to load the checkpoint again.

        That is when the folder has changed since the last try, or when that try failed and a pause
        has passed: a program that copies a checkpoint may write ``config.json`` before the weights.
        The pause is 2 seconds, and doubles with each failure up to a minute.
        """
        if self.signature() != self._signature:
            return True
        return self._try_at is not None and time.monotonic() >= self._try_at

    def reload(self) -> bool:
        """Load the checkpoint again; requests go to the previous model until it is ready.

        Returns:
            Whether the model was replaced. If not, the previous one stays, and the log says why.
        """
        with self._replacing:
            signature = self.signature()
            try:
                model, sessions = self._load()
            # Parts are third-party code; after any exception the previous model stays in use.
            except Exception as error:
                self._plan_another_try(signature)
                logger.error(
                    "reload failed",
                    extra={
                        "fields": {
                            "model": self.name,
                            "reason": error_text(error),
                            "retry_seconds": self._pause,
                        }
                    },
                )
                return False
            self._signature, self._pause, self._try_at = signature, 0.0, None
            self._offer(model, sessions)
            self.loaded, self.reloads = time.time(), self.reloads + 1
            logger.info("reloaded", extra={"fields": {"model": self.name}})
            return True

    def _plan_another_try(self, signature: tuple[int, ...] | None) -> None:
        """Choose the time of the next try; after a change of the folder the pauses start again."""
        again = self._pause > 0 and signature == self._signature
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if again else _FIRST_PAUSE
        self._signature, self._try_at = signature, time.monotonic() + self._pause

    def _offer(self, model: SequenceModel, sessions: Any) -> None:
        """Leave a model for the worker, which takes it between two batches.

        So no request sees a mixture of two models.
        """
        with self._taking:
            unused, self._next = self._next, (model, sessions)
        if unused is not None:
            self._close_sessions(unused[1])

    def _take(self) -> None:
        """Use the model that was left for the worker, if there is one."""
        with self._taking:
            if self._next is None:
                return
            previous = self.sessions
            (self.model, self.sessions), self._next = self._next, None
        self._close_sessions(previous)

    def _close_sessions(self, sessions: Any) -> None:
        """Close the sessions of a model that is no longer used; an error only goes to the log."""
        try:
            _close(sessions)
        # The states that cannot be stored are computed again from the stored events.
        except Exception as error:
            logger.error(
                "closing sessions failed",
                extra={"fields": {"model": self.name, "reason": error_text(error)}},
            )

    def close(self) -> None:
        """Answer what waits, end the worker, and store the states of sessions."""
        self.batcher.close()
        self._take()
        _close(self.sessions)

    def describe(self) -> dict[str, Any]:
        """The model as ``GET /v1/models`` shows it."""
        model = self._newest
        return {
            "name": self.name,
            "architecture": model.architecture,
            "items": len(model.vocabulary),
            "parameters": model.num_parameters,
            "sessions": self.sessions is not None,
            "uses_time": bool(model.backbone.uses_time),
            "loaded": self.loaded,
            "examples": list(model.vocabulary.items[:3]),
        }

    @property
    def _newest(self) -> SequenceModel:
        """The model that answers the next requests."""
        following = self._next
        return self.model if following is None else following[0]

    async def titles(self, seconds: float) -> TitleIndex:
        """The titles of the items, indexed when the first one is searched.

        A large catalogue takes seconds, so it is indexed in a thread of its own, while other
        requests are answered.

        Args:
            seconds: how long to wait for it.

        Raises:
            ServiceError: it takes longer; indexing continues in the background.
        """
        vocabulary = self._newest.vocabulary
        if self._titles is None or self._titles[0] is not vocabulary:
            indexing = asyncio.ensure_future(asyncio.to_thread(TitleIndex, vocabulary))
            self._titles = vocabulary, indexing
        try:
            return await asyncio.wait_for(asyncio.shield(self._titles[1]), seconds)
        except asyncio.TimeoutError:
            raise overloaded("the titles are being indexed; try again later") from None

    def _work(self, requests: Sequence[Any]) -> list[Any]:
        """The answers to requests of all kinds, those of one kind computed together."""
        self._take()
        model, sessions = self.model, self.sessions
        answers: list[Any] = [None] * len(requests)
        # Forgetting comes last: what was sent before it belongs to the user who is forgotten.
        kinds: tuple[tuple[type, Callable[[Sequence[Any]], list[Any]]], ...] = (
            (ask.RecommendRequest, lambda some: ask.recommend(model, some)),
            (
                ask.SimilarRequest,
                lambda some: [_caught(model.similar, each.item, each.k) for each in some],
            ),
            (
                why.ItemsRequest,
                lambda some: [_caught(why.find_items, model.vocabulary, each) for each in some],
            ),
            (why.ReasonsRequest, lambda some: [_caught(why.reasons, model, each) for each in some]),
            (ask.EventRequest, lambda some: _observe(self.name, sessions, some)),
            (ask.SessionRequest, lambda some: _of_sessions(self.name, sessions, some)),
            (ask.ForgetRequest, lambda some: [_caught(_forget, sessions, each) for each in some]),
        )
        for kind, answer in kinds:
            positions = [at for at, each in enumerate(requests) if isinstance(each, kind)]
            if not positions:
                continue
            try:
                found = answer([requests[at] for at in positions])
            except Exception as error:
                found = [error] * len(positions)
            for at, each in zip(positions, found, strict=True):
                answers[at] = each
        return answers


def split_name(text: str) -> tuple[str, str]:
    """The name of a model in requests, and its checkpoint, from ``CHECKPOINT`` or ``NAME=…``."""
    match = _NAMED.fullmatch(text)
    return (text, text) if match is None else (match[1], match[2])


def _caught(function: Callable[..., Any], *given: Any) -> Any:
    """The result of a function, or its exception."""
    try:
        return function(*given)
    except Exception as error:
        return error


def _close(sessions: Any) -> None:
    """Close sessions that are in a store."""
    if isinstance(sessions, StoredSessions):
        sessions.close()


def _forget(sessions: Any, request: ask.ForgetRequest) -> int:
    if sessions is None:
        return 0
    events: int = sessions.forget(request.user)
    return events


def _observe(name: str, sessions: Any, requests: Sequence[ask.EventRequest]) -> list[Any]:
    if sessions is None:
        return [_no_sessions(name)] * len(requests)
    errors = sessions.observe_each([(each.user, each.item, each.timestamp) for each in requests])
    return [
        sessions.events(each.user) if error is None else error
        for each, error in zip(requests, errors, strict=True)
    ]


def _of_sessions(name: str, sessions: Any, requests: Sequence[ask.SessionRequest]) -> list[Any]:
    """Recommendations of sessions; requests with the same options are scored together."""
    if sessions is None:
        return [_no_sessions(name)] * len(requests)
    answers: list[Any] = [None] * len(requests)
    groups: dict[tuple[bool, str, bool], list[int]] = {}
    most = len(sessions.model.vocabulary)
    for at, each in enumerate(requests):
        if each.on_cold == "error" and not sessions.events(each.user):
            answers[at] = ServiceError(
                404,
                "unknown_session",
                "the user has no session; send events first, or ask with on_cold=popular or empty",
            )
        elif not 1 <= each.k <= most:
            answers[at] = ServiceError(
                422, "invalid_request", f"k is {each.k}; expected 1 to {most}"
            )
        else:
            # A user with events gets recommendations from them, for any on_cold.
            on_cold = "empty" if each.on_cold == "error" else each.on_cold
            groups.setdefault((each.exclude_seen, on_cold, each.at is None), []).append(at)
    for (exclude_seen, on_cold, newest), positions in groups.items():
        users = [requests[at].user for at in positions]
        k = max(requests[at].k for at in positions)
        try:
            times = None if newest else [requests[at].at for at in positions]
            found = sessions.recommend(
                users, k, exclude_seen=exclude_seen, on_cold=on_cold, at=times
            )
        except Exception as error:
            found = [error] * len(positions)
        for at, best in zip(positions, found, strict=True):
            if isinstance(best, Exception):
                answers[at] = best
            else:
                answers[at] = (best[: requests[at].k], best.cold)
    return answers


def _no_sessions(name: str) -> ServiceError:
    return ServiceError(
        422,
        "invalid_request",
        f"the model {name} keeps no state between events, so it has no sessions; send whole "
        "histories to /v1/recommend",
    )
