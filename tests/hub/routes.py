"""What answers which request, who may do what, and the endpoints for repositories and cards."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from . import cards
from .messages import Reply, Request, answer
from .store import HubError, Repo

Route = Callable[..., Reply]
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []
REPO = r"(?P<repo_id>[^/]+/[^/]+)"
MODEL = rf"/api/models/{REPO}"
REVISION = r"(?P<revision>[^/]+)"


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Register what answers a method and a path; the pattern's names become arguments."""

    def register(function: Route) -> Route:
        ROUTES.append((method, re.compile(pattern), function))
        return function

    return register


def find(request: Request) -> Reply:
    """Answer a request by the route that it fits."""
    for method, pattern, function in ROUTES:
        found = pattern.fullmatch(request.path)
        if found and method == ("GET" if request.method == "HEAD" else request.method):
            words = {name: unquote(word) for name, word in found.groupdict().items() if word}
            with request.hub.store.lock:
                return function(request, **words)
    raise HubError(404, f"Sorry, we can't find the page you are looking for: {request.path}")


# Who may do what.


def readable(request: Request, repo_id: str) -> Repo:
    """A repository that the request may see.

    Without a token the Hub answers 401 for one that is private and for one that does not exist.
    The code goes with it because the client tells a missing repository from other 401s by an
    ``https`` address only.
    """
    repo = request.hub.store.repos.get(repo_id)
    role = request.role
    if repo is None or (repo.private and role is None):
        if role is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        raise HubError(404, "Repository not found", "RepoNotFound")
    return repo


def open_gate(request: Request, repo: Repo) -> None:
    """Refuse the files of a gated repository: write tokens and ``repo.allowed`` get them."""
    if not repo.gated or request.role == "write" or request.token in repo.allowed:
        return
    message = f"Access to model {repo.id} is restricted"
    if request.role is None:
        message += ". You must be authenticated to access it."
        raise HubError(401, message, "GatedRepo")
    raise HubError(403, f"{message} and you are not in the authorized list.", "GatedRepo")


def may_write(request: Request, code: str | None = None) -> None:
    if request.role is None:
        raise HubError(401, "Invalid username or password.", code)
    if request.role != "write":
        raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")


def writable(request: Request, repo_id: str) -> Repo:
    may_write(request, "RepoNotFound")
    return readable(request, repo_id)


def signed(request: Request) -> None:
    if request.query.get("signature") != [request.hub.signature]:
        raise HubError(403, "Access denied")


# Repositories and cards.


@route("POST", "/api/repos/create")
def create_repo(request: Request) -> Reply:
    may_write(request)
    asked = request.json()
    repo_id = f"{asked.get('organization') or request.hub.user}/{asked['name']}"
    document = {"url": f"{request.hub.url}/{repo_id}", "name": repo_id}
    if asked.get("type", "model") != "model":
        raise HubError(400, "This server has models only")
    if repo_id in request.hub.store.repos:
        message = "You already created this model repo"
        return answer({**document, "error": message}, 409, {"X-Error-Message": message})
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    request.hub.store.create(repo_id, private=private)
    return answer(document)


@route("DELETE", "/api/repos/delete")
def delete_repo(request: Request) -> Reply:
    asked = request.json()
    repo = writable(request, f"{asked.get('organization') or request.hub.user}/{asked['name']}")
    del request.hub.store.repos[repo.id]
    return answer({})


@route("GET", "/api/whoami-v2")
def whoami(request: Request) -> Reply:
    role = request.role
    if role is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": "test", "role": role}
    return answer(
        {
            "type": "user",
            "id": "0" * 24,
            "name": request.hub.user,
            "fullname": request.hub.user,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@route("GET", "/api/agent-harnesses")
def agent_harnesses(request: Request) -> Reply:
    return answer({"standardEnvVars": [], "harnesses": {}})


@route("POST", "/api/validate-yaml")
def validate_yaml(request: Request) -> Reply:
    metadata, mistakes = cards.read(request.json()["content"])
    errors = [{"message": mistake} for mistake in mistakes]
    warnings = []
    if not metadata and not errors:
        warnings.append({"message": "empty or missing yaml metadata in repo card"})
    return answer({"errors": errors, "warnings": warnings}, 400 if errors else 200)
