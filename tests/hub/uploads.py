"""Endpoints that change a repository: uploads, commits, tags and branches."""

import base64
import hashlib
import json
import math
import re
from typing import Any

from .messages import Reply, Request, answer
from .routes import MODEL, REPO, REVISION, readable, route, signed, writable
from .store import Blob, HubError, is_large


@route("POST", rf"{MODEL}/preupload/{REVISION}")
def preupload(request: Request, repo_id: str, revision: str) -> Reply:
    commit = writable(request, repo_id).resolve(revision)
    files = []
    for asked in request.json()["files"]:
        path, sample = asked["path"], base64.b64decode(asked.get("sample") or "")
        large = request.hub.upload_mode is None and is_large(path, asked["size"], sample)
        mode = request.hub.upload_mode or ("lfs" if large else "regular")
        known = {"oid": commit.files[path].etag} if path in commit.files else {}
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
    return answer({"files": files, "commitOid": commit.id})


@route("POST", rf"/{REPO}\.git/info/lfs/objects/batch")
def lfs_batch(request: Request, repo_id: str) -> Reply:
    writable(request, repo_id)
    hub, asked, objects = request.hub, request.json(), []
    if asked.get("operation") != "upload":
        raise HubError(400, "This server has LFS uploads only")
    for item in asked["objects"]:
        oid, size = item["oid"], item["size"]
        found: dict[str, Any] = {"oid": oid, "size": size}
        objects.append(found)
        if not re.fullmatch("[0-9a-f]{64}", oid):
            found["error"] = {"code": 422, "message": f"Not a sha256: {oid}"}
        elif oid not in hub.store.objects:
            href = f"{hub.url}/lfs/{repo_id}/{oid}"
            upload: dict[str, Any] = {"href": f"{href}?signature={hub.signature}"}
            if hub.part_size is not None and size > hub.part_size:
                upload["header"] = {"chunk_size": str(hub.part_size)} | {
                    str(number): f"{href}/{number}?signature={hub.signature}"
                    for number in range(1, math.ceil(size / hub.part_size) + 1)
                }
            verify = {"href": f"{hub.url}/{repo_id}.git/info/lfs/objects/verify"}
            found["actions"] = {"upload": upload, "verify": verify}
    return answer({"transfer": "basic", "objects": objects})


@route("PUT", rf"/lfs/{REPO}/(?P<oid>[0-9a-f]{{64}})(/(?P<part>\d+))?")
def lfs_put(request: Request, repo_id: str, oid: str, part: str | None = None) -> Reply:
    signed(request)
    etag = hashlib.sha256(request.body).hexdigest()
    if part is not None:
        request.hub.store.objects[f"{oid}/{part}"] = request.body
    elif etag != oid:
        raise HubError(400, "The content does not have the sha256 that was announced")
    else:
        request.hub.store.objects[oid] = request.body
    return Reply(headers={"ETag": f'"{etag}"'})


@route("POST", rf"/lfs/{REPO}/(?P<oid>[0-9a-f]{{64}})")
def lfs_complete(request: Request, repo_id: str, oid: str) -> Reply:
    signed(request)
    objects = request.hub.store.objects
    parts = [f"{oid}/{part['partNumber']}" for part in request.json()["parts"]]
    content = b"".join(objects.pop(part) for part in parts)
    if hashlib.sha256(content).hexdigest() != oid:
        raise HubError(400, "The parts do not have the sha256 that was announced")
    objects[oid] = content
    return answer({})


@route("POST", rf"/{REPO}\.git/info/lfs/objects/verify")
def lfs_verify(request: Request, repo_id: str) -> Reply:
    writable(request, repo_id)
    asked = request.json()
    content = request.hub.store.objects.get(asked["oid"])
    if content is None or len(content) != asked["size"]:
        raise HubError(404, f"Object {asked['oid']} was not uploaded")
    return answer({})


@route("POST", rf"{MODEL}/commit/{REVISION}")
def commit_files(request: Request, repo_id: str, revision: str) -> Reply:
    repo = writable(request, repo_id)
    head = repo.resolve(revision)
    header: dict[str, Any] = {}
    changes: dict[str, Blob | None] = {}
    for line in request.body.splitlines():
        item = json.loads(line)
        key, value = item["key"], item["value"]
        path = value.get("path", "").rstrip("/")
        if key == "header":
            header = value
        elif not path or path.startswith("/") or {"..", ".", ".git", ""} & set(path.split("/")):
            raise HubError(400, f"Invalid path: {path!r}")
        elif key == "file":
            changes[path] = Blob(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            content = request.hub.store.objects.get(value["oid"])
            if content is None:
                raise HubError(400, f"The LFS object of {path} was not uploaded")
            changes[path] = Blob(content, lfs=True)
        elif key == "deletedFile":
            changes[path] = None
        elif key == "deletedFolder":
            changes |= {name: None for name in head.files if name.startswith(f"{path}/")}
        else:
            raise HubError(400, f"Unknown operation: {key}")
    made, number = repo.commit(
        revision,
        changes,
        title=header["summary"],
        message=header.get("description", ""),
        parent=header.get("parentCommit"),
        pull_request=request.flag("create_pr"),
    )
    address = f"{request.hub.url}/{repo_id}"
    document = {"success": True, "commitOid": made.id, "commitUrl": f"{address}/commit/{made.id}"}
    if number is not None:
        document["pullRequestUrl"] = f"{address}/discussions/{number}"
    return answer(document)


@route("POST", rf"{MODEL}/(?P<kind>tag|branch)/{REVISION}")
def create_reference(request: Request, repo_id: str, kind: str, revision: str) -> Reply:
    repo = writable(request, repo_id)
    asked = request.json()
    if kind == "tag":
        repo.name_reference("tag", asked["tag"], revision)
    else:
        repo.name_reference("branch", revision, asked.get("startingPoint", "main"))
    return answer({})


@route("DELETE", rf"{MODEL}/(?P<kind>tag|branch)/{REVISION}")
def delete_reference(request: Request, repo_id: str, kind: str, revision: str) -> Reply:
    writable(request, repo_id).drop_reference(kind, revision)
    return answer({})


@route("POST", rf"{MODEL}/discussions")
def open_pull(request: Request, repo_id: str) -> Reply:
    """An empty pull request, to be committed to at its reference."""
    repo = writable(request, repo_id)
    asked = request.json()
    if not asked.get("pullRequest"):
        raise HubError(400, "This server has no discussions but pull requests")
    number = repo.open_pull(asked["title"], repo.resolve().id)
    return answer({"num": number, "url": f"{request.hub.url}/{repo_id}/discussions/{number}"})


@route("GET", rf"{MODEL}/discussions/(?P<number>\d+)")
def show_pull(request: Request, repo_id: str, number: str) -> Reply:
    repo = readable(request, repo_id)
    if int(number) not in repo.pulls:
        raise HubError(404, "Discussion not found")
    return answer(
        {
            "num": int(number),
            "title": repo.pull_titles[int(number)],
            "author": {"name": request.hub.user},
            "createdAt": repo.created,
            "status": "draft",
            "repo": {"name": repo_id, "type": "model"},
            "isPullRequest": True,
            "events": [],
            "changes": {"base": "refs/heads/main"},
            "filesWithConflicts": [],
        }
    )
