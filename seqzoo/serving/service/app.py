"""The routes of the service."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from seqzoo.errors import nearest, one_line
from seqzoo.serving.service import documents
from seqzoo.serving.service import requests as ask
from seqzoo.serving.service.answers import errors_of, json_answer
from seqzoo.serving.service.errors import ServiceError, as_service_error
from seqzoo.serving.service.guard import Guard
from seqzoo.serving.service.limits import Limits
from seqzoo.serving.service.page import add_page
from seqzoo.serving.service.paths import USER
from seqzoo.serving.service.served import ServedModel
from seqzoo.serving.service.telemetry import Metrics
from seqzoo.version import __version__

__all__ = [
    "Service",
]

logger = logging.getLogger("seqzoo.serve")


class Service:
    """The models of a service, and its ASGI application.

    Attributes:
        app: the application, middleware included.
        guard: the middleware.
        models: the models by name.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        limits: Limits,
        metrics: Metrics,
        *,
        token: str | None = None,
        reload_seconds: float = 2.0,
    ) -> None:
        self.models = {model.name: model for model in models}
        self.limits, self.metrics = limits, metrics
        self._reload_seconds = reload_seconds
        self._reloading: set[asyncio.Task[None]] = set()
        self.routes = _routes(self)
        self.guard = Guard(self.routes, limits=limits, metrics=metrics, token=token)
        self.app = self.guard
        metrics.in_flight.set_function(lambda: self.guard.in_flight)
        for model in models:
            metrics.waiting.labels(model.name).set_function(
                lambda model=model: len(model.batcher)  # type: ignore[misc]
            )
            metrics.loaded.labels(model.name).set_function(
                lambda model=model: model.loaded  # type: ignore[misc]
            )

    def model(self, name: str | None) -> ServedModel:
        """The model with a name; the first one without.

        Raises:
            ServiceError: there is no such model.
        """
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            hint = nearest(name, self.models)
            raise ServiceError(
                404,
                "unknown_model",
                f"there is no model '{one_line(name, 80)}'{hint or ';'} GET /v1/models lists them",
            )
        return self.models[name]

    async def ask(self, model: ServedModel, request: Any) -> Any:
        """The answer of a model to a request.

        Raises:
            ServiceError: an error of the request, or too many requests wait.
        """
        try:
            return await model.batcher.submit(request, self.limits.seconds)
        except ServiceError:
            raise
        except Exception as error:
            answer = as_service_error(error)
            if answer.status == 500:
                raise
            raise answer from None

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Watch the folders of the models while the service runs, then end the workers."""
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, ValueError, RuntimeError, AttributeError):
            loop.add_signal_handler(signal.SIGHUP, self._start_reload)
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            for model in self.models.values():
                await asyncio.to_thread(model.close)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._reload_seconds)
            await self._reload(changed=True)

    def _start_reload(self) -> None:
        task = asyncio.create_task(self._reload(changed=False))
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self, *, changed: bool) -> None:
        for model in self.models.values():
            if not changed or model.due:
                replaced = await asyncio.to_thread(model.reload)
                result = "replaced" if replaced else "failed"
                self.metrics.reloads.labels(model.name, result).inc()


def _routes(service: Service) -> FastAPI:
    app = FastAPIOffline(
        redoc_url=None,
        title="seqzoo",
        version=__version__,
        description="Recommendations of sequence models.",
        lifespan=service.running,
        swagger_ui_parameters={"tryItOutEnabled": True},
    )
    wanted = documents.Documents(service.limits)
    _add_state(app, service)
    _add_requests(app, service, wanted)
    _add_sessions(app, service, wanted)
    add_page(app, service, wanted)
    _add_error_handlers(app)
    return app


def _add_state(app: FastAPI, service: Service) -> None:
    """The routes for health, metrics and models."""

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", responses={503: {"model": documents.Health}})
    async def healthz() -> documents.Health:
        """Whether the service answers requests; 503 while it is stopping."""
        if service.guard.draining:
            body = documents.Health(status="stopping").model_dump()
            return json_answer(body, status=503)  # type: ignore[return-value]
        return documents.Health(status="ok")

    @app.get("/metrics", response_class=Response, responses=errors_of(401))
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models", responses=errors_of(401))
    async def models() -> list[documents.ServedDocument]:
        """The models of the service, the default first."""
        found = [model.describe() for model in service.models.values()]
        return json_answer(found)  # type: ignore[return-value]


def _add_requests(app: FastAPI, service: Service, wanted: documents.Documents) -> None:
    """The routes of stateless requests."""

    @app.post("/v1/recommend", responses=errors_of(400, 401, 404, 408, 413, 415, 422, 503))
    async def recommend(body: wanted.recommend) -> documents.Recommended:  # type: ignore[name-defined]
        """Recommend items for one history, or for each of several."""
        model = service.model(body.model)
        histories, timestamps = _histories(body)
        _check_size(len(histories), body.k, service.limits.recommendations)
        request = ask.RecommendRequest(
            histories,
            timestamps,
            body.at,
            body.k,
            body.exclude_seen,
            None if body.candidates is None else tuple(body.candidates),
            tuple(body.exclude),
            body.on_unknown,
            body.on_cold,
        )
        answers = await service.ask(model, request)
        results = [
            {
                "history": history,
                "unknown": best.unknown,
                "cold": best.cold,
                "recommendations": list(best),
            }
            for history, best in zip(histories, answers, strict=True)
        ]
        if body.history is not None:
            return json_answer({"model": model.name, **results[0]})  # type: ignore[return-value]
        return json_answer({"model": model.name, "results": results})  # type: ignore[return-value]

    @app.post("/v1/similar", responses=errors_of(400, 401, 404, 408, 413, 415, 422, 503))
    async def similar(body: wanted.similar) -> documents.Similar:  # type: ignore[name-defined]
        """The items most similar to an item."""
        model = service.model(body.model)
        best = await service.ask(model, ask.SimilarRequest(body.item, body.k))
        document = {"model": model.name, "item": body.item, "similar": list(best)}
        return json_answer(document)  # type: ignore[return-value]


def _add_sessions(app: FastAPI, service: Service, wanted: documents.Documents) -> None:
    """The routes of sessions, which the service keeps for each user."""
    limits = service.limits
    user_type = Annotated[str, InPath(min_length=1, max_length=limits.text)]
    k_type = Annotated[int, Query(ge=1, le=limits.k)]
    name_type = Annotated[str | None, Query(max_length=limits.text)]
    time_type = Annotated[
        int | None,
        Query(
            ge=-documents.FARTHEST,
            le=documents.FARTHEST,
            description="Unix seconds of the request, for models that read them.",
        ),
    ]

    @app.post(
        f"/v1/sessions/{USER}/events",
        responses=errors_of(400, 401, 404, 408, 413, 415, 422, 503),
    )
    async def observe(user: user_type, body: wanted.event) -> documents.Observed:  # type: ignore[name-defined]
        """Add an event to a user's session; with a store, it is on the disk before the answer."""
        model = service.model(body.model)
        request = ask.EventRequest(user, body.item, body.timestamp)
        events = await service.ask(model, request)
        document = {"model": model.name, "user": user, "events": events}
        return json_answer(document)  # type: ignore[return-value]

    @app.get(f"/v1/sessions/{USER}/recommendations", responses=errors_of(401, 404, 422, 503))
    async def recommendations(
        user: user_type,
        model: name_type = None,
        at: time_type = None,
        k: k_type = 10,
        exclude_seen: bool = True,
        on_cold: documents.OnCold = "error",
    ) -> documents.SessionAnswer:
        """Recommend items for a user, from the stored events."""
        served = service.model(model)
        request = ask.SessionRequest(user, at, k, exclude_seen, on_cold)
        best, cold = await service.ask(served, request)
        document = {
            "model": served.name,
            "user": user,
            "cold": cold,
            "recommendations": best,
        }
        return json_answer(document)  # type: ignore[return-value]

    @app.delete(f"/v1/sessions/{USER}", responses=errors_of(401, 422, 503))
    async def forget(user: user_type) -> documents.Forgotten:
        """Remove all that is kept of a user, for every model."""
        counts = [
            await service.ask(model, ask.ForgetRequest(user)) for model in service.models.values()
        ]
        return json_answer({"user": user, "events": sum(counts)})  # type: ignore[return-value]


def _check_size(histories: int, k: int, most: int) -> None:
    """Check how many recommendations a request asks for.

    Raises:
        ServiceError: more than ``most``.
    """
    if histories * k > most:
        raise ServiceError(
            422,
            "invalid_request",
            f"{histories} histories with k {k} are {histories * k:,} recommendations; a request "
            f"has at most {most:,}: send fewer histories at once, or at most {most // histories} "
            "for k",
        )


def _histories(body: Any) -> tuple[list[list[str]], list[list[int]] | None]:
    """The histories of a request and their timestamps, in one form for one or several.

    Raises:
        ServiceError: there is not exactly one of history and histories, or the timestamps have
            another form.
    """
    if (body.history is None) == (body.histories is None):
        raise ServiceError(422, "invalid_request", "send one of history and histories")
    histories = [body.history] if body.histories is None else body.histories
    if body.timestamps is None:
        return histories, None
    timestamps = [body.timestamps] if body.histories is None else body.timestamps
    fits = all(
        isinstance(times, list)
        and len(times) == len(history)
        and all(isinstance(each, int) for each in times)
        for times, history in zip(timestamps, histories, strict=False)
    )
    if not fits or len(timestamps) != len(histories):
        raise ServiceError(
            422,
            "invalid_request",
            "timestamps: expected one timestamp for each item, in the form of the history or "
            "histories",
        )
    return histories, timestamps


def _failed(error: ServiceError) -> Response:
    return Response(error.body, error.status, error.headers, "application/json")


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ServiceError)
    async def known(request: Request, error: ServiceError) -> Response:
        return _failed(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return _failed(ServiceError(400, "invalid_json", "the body is not valid JSON"))
        field = ".".join(str(each) for each in first["loc"][1:])
        more = len(error.errors()) - 1
        text = f"{field}: {first['msg']}" + (f", and {more} more errors" if more else "")
        return _failed(ServiceError(422, "invalid_request", text))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        kinds = {404: "not_found", 405: "method_not_allowed", 400: "invalid_request"}
        kind = kinds.get(error.status_code, "http_error")
        text = f"{error.detail}; /docs has the interface"
        answer = _failed(ServiceError(error.status_code, kind, text))
        answer.headers.update(error.headers or {})
        return answer

    # The guard logs the error, which is raised again after this answer.
    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return _failed(as_service_error(error))
