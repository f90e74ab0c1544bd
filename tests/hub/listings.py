"""Endpoints that show what is in a repository, and send it."""

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from .cards import eval_results
from .messages import Reply, Request, answer
from .routes import MODEL, REPO, REVISION, open_gate, readable, route, signed
from .store import Blob, Commit, HubError, Repo


def describe(request: Request, repo: Repo, commit: Commit, full: bool) -> dict[str, Any]:
    """A model as the Hub describes it."""
    card = json.loads(json.dumps(repo.card(commit), default=str, skipkeys=True))
    found = {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.split("/")[0],
        "private": repo.private,
        "downloads": 0,
        "likes": 0,
        "tags": repo.labels(commit),
        "library_name": card.get("library_name"),
        "pipeline_tag": card.get("pipeline_tag"),
        "createdAt": repo.created,
    }
    if full:
        found |= {
            "sha": commit.id,
            "lastModified": commit.date,
            "gated": "auto" if repo.gated else False,
            "disabled": False,
            "cardData": card or None,
            "model-index": card.get("model-index"),
            "evalResults": eval_results({p: blob.content for p, blob in commit.files.items()}),
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            "usedStorage": sum(blob.size for blob in commit.files.values()),
        }
    asked = request.query.get("expand", []) + request.query.get("expand[]", [])
    if asked:
        found = {key: value for key, value in found.items() if key in ("_id", "id", *asked)}
    return {key: value for key, value in found.items() if value is not None}


def paged(request: Request, items: list[Any], limit: int) -> Reply:
    """One page of a listing, with a link to the next."""
    start = int(request.query.get("cursor", ["0"])[0])
    size = min(limit, request.hub.page_size)
    headers = {}
    if start + size < len(items):
        query = urlencode({**request.query, "cursor": [str(start + size)]}, doseq=True)
        headers["Link"] = f'<{request.hub.url}{request.path}?{query}>; rel="next"'
    return answer(items[start : start + size], headers=headers)


@route("GET", "/api/models")
def list_models(request: Request) -> Reply:
    query, found = request.query, []
    wanted = {word for value in query.get("filter", []) for word in value.split(",")}
    wanted |= set(query.get("pipeline_tag", []))
    authors, search = query.get("author", []), query.get("search", [""])[0].lower()
    detailed = any(request.flag(name) for name in ("full", "cardData")) or "expand" in query
    for repo in list(request.hub.store.repos.values()):
        commit = repo.resolve()
        hidden = repo.private and request.role is None
        if (
            not hidden
            and wanted <= set(repo.labels(commit))
            and search in repo.id.lower()
            and (not authors or repo.id.split("/")[0] in authors)
        ):
            found.append((commit.date, describe(request, repo, commit, detailed)))
    if query.get("sort") == ["lastModified"]:
        found.sort(key=lambda pair: pair[0], reverse=True)
    limit = int(query.get("limit", ["1000"])[0])
    return paged(request, [document for _, document in found], limit)


@route("GET", rf"{MODEL}(/revision/{REVISION})?")
def model_info(request: Request, repo_id: str, revision: str = "main") -> Reply:
    repo = readable(request, repo_id)
    commit = repo.resolve(revision)
    document = describe(request, repo, commit, full=True)
    if request.flag("blobs"):
        for sibling in document["siblings"]:
            blob = commit.files[sibling["rfilename"]]
            sibling |= {"size": blob.size, "blobId": blob.git_oid}
            if blob.lfs:
                sizes = {"size": blob.size, "pointerSize": len(blob.pointer)}
                sibling["lfs"] = {"sha256": blob.sha256, **sizes}
    return answer(document)


def entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Every file and folder of a commit, as listings show them."""
    found: dict[str, dict[str, Any]] = {
        path: {"type": "directory", "oid": oid, "size": 0, "path": path}
        for path, oid in commit.folders().items()
    }
    for path, blob in commit.files.items():
        found[path] = {"type": "file", "oid": blob.git_oid, "size": blob.size, "path": path}
        if blob.lfs:
            sizes = {"size": blob.size, "pointerSize": len(blob.pointer)}
            found[path]["lfs"] = {"oid": blob.sha256, **sizes}
    return dict(sorted(found.items()))


def expanded(repo: Repo, revision: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with the commit that changed each of them last."""
    for item in items:
        commit = repo.last_change(item["path"], revision)
        item["lastCommit"] = {"id": commit.id, "title": commit.title, "date": commit.date}
    return items


@route("GET", rf"{MODEL}/tree/{REVISION}(/(?P<path>.+))?")
def tree(request: Request, repo_id: str, revision: str, path: str = "") -> Reply:
    repo = readable(request, repo_id)
    commit = repo.resolve(revision)
    if path and path not in commit.folders():
        message = f"{path} does not exist on {revision}"
        raise HubError(404, message, "EntryNotFound", commit.id)
    prefix = f"{path}/" if path else ""
    items = [
        entry
        for name, entry in entries(commit).items()
        if name.startswith(prefix)
        and (request.flag("recursive") or "/" not in name.removeprefix(prefix))
    ]
    if request.flag("expand"):
        items = expanded(repo, revision, items)
    return paged(request, items, 1000)


@route("POST", rf"{MODEL}/paths-info/{REVISION}")
def paths_info(request: Request, repo_id: str, revision: str) -> Reply:
    repo = readable(request, repo_id)
    found = entries(repo.resolve(revision))
    asked = parse_qs(request.body.decode())
    items = [found[path.rstrip("/")] for path in asked["paths"] if path.rstrip("/") in found]
    if asked.get("expand") == ["true"]:
        items = expanded(repo, revision, items)
    return answer(items)


@route("GET", rf"{MODEL}/refs")
def references(request: Request, repo_id: str) -> Reply:
    repo = readable(request, repo_id)

    def listed(names: dict[str, str], folder: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit}
            for name, commit in names.items()
        ]

    document = {
        "branches": listed(repo.branches, "heads"),
        "converts": [],
        "tags": listed(repo.tags, "tags"),
    }
    if request.flag("include_prs"):
        pulls = {str(number): commit for number, commit in repo.pulls.items()}
        document["pullRequests"] = listed(pulls, "pr")
    return answer(document)


@route("GET", rf"{MODEL}/commits/{REVISION}")
def commits(request: Request, repo_id: str, revision: str) -> Reply:
    history = [
        {
            "id": commit.id,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": request.hub.user}],
            "date": commit.date,
        }
        for commit in readable(request, repo_id).history(revision)
    ]
    return paged(request, history, 1000)


# Files.


def file_headers(commit: Commit, path: str, blob: Blob) -> dict[str, str]:
    """What a client needs to know about a file to keep it in its cache."""
    headers = {
        "ETag": f'"{blob.etag}"',
        "X-Repo-Commit": commit.id,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream" if blob.lfs else "text/plain; charset=utf-8",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.split('/')[-1])};",
    }
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
    return headers


@route("GET", rf"/{REPO}/resolve/{REVISION}/(?P<path>.+)")
def resolve(request: Request, repo_id: str, revision: str, path: str) -> Reply:
    repo = readable(request, repo_id)
    open_gate(request, repo)
    request.entry.repo, request.entry.file = repo_id, path
    commit, blob = repo.find(path, revision)
    headers = file_headers(commit, path, blob)
    if request.fault is None or request.fault.kind != "redirect":
        return Reply(blob.content, 200, headers, ranges=True)
    place = f"{request.fault.host}:{request.hub.port}/cdn/{repo_id}/{commit.id}/{quote(path)}"
    headers["Location"] = f"http://{place}?signature={request.hub.signature}"
    headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(blob.size)}
    return Reply(b"", 302, headers)


@route("GET", rf"/cdn/{REPO}/{REVISION}/(?P<path>.+)")
def cdn(request: Request, repo_id: str, revision: str, path: str) -> Reply:
    """The other host: asks for no token, only for a signed address."""
    signed(request)
    request.entry.repo, request.entry.file = repo_id, path
    commit, blob = request.hub.store.repos[repo_id].find(path, revision)
    return Reply(blob.content, 200, file_headers(commit, path, blob), ranges=True)
