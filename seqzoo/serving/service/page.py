"""The page at ``/``: its files, and the further routes that it needs."""

from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from seqzoo.serving.service import documents
from seqzoo.serving.service import reasons as why
from seqzoo.serving.service.answers import errors_of, json_answer
from seqzoo.serving.service.errors import ServiceError

if TYPE_CHECKING:
    from seqzoo.serving.service.app import Service

__all__ = ["STATIC", "add_page"]

STATIC = Path(__file__).parent / "static"
# The page loads nothing from elsewhere, runs no inline code, and cannot be framed.
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class _PageFiles(StaticFiles):
    """Files of the page, with its headers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(_HEADERS)
        return answer


def add_page(app: FastAPI, service: "Service", wanted: documents.Documents) -> None:
    """Add the page, its files, and ``/v1/items`` and ``/v1/reasons``."""

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=_HEADERS)

    app.mount("/static", _PageFiles(directory=STATIC), name="static")

    @app.post("/v1/items", responses=errors_of(400, 401, 404, 408, 413, 415, 422, 503))
    async def items(body: wanted.items) -> documents.Items:  # type: ignore[name-defined]
        """Search the items of a model by title, or look up the titles of ids."""
        model = service.model(body.model)
        if (body.query is None) == (body.items is None):
            raise ServiceError(422, "invalid_request", "send one of query and items")
        titles = None if body.query is None else await model.titles(service.limits.seconds)
        request = why.ItemsRequest(body.query, body.items, body.k, titles)
        found = await service.ask(model, request)
        return json_answer({"model": model.name, **found})  # type: ignore[return-value]

    @app.post("/v1/reasons", responses=errors_of(400, 401, 404, 408, 413, 415, 422, 503))
    async def reasons(body: wanted.reasons) -> documents.Reasons:  # type: ignore[name-defined]
        """Why a model recommends an item: its score and rank, and the items nearest to it."""
        model = service.model(body.model)
        found = await service.ask(model, why.ReasonsRequest(body.history, body.item, body.k))
        document = {"model": model.name, "item": body.item, **found}
        return json_answer(document)  # type: ignore[return-value]
