"""Read from the Hub: every response is bounded in size and time, and checked before it is used.

These requests do not go through the Hub's client, because it trusts the endpoint: it reads bodies
without a limit on size or time, and names files in its cache after a response header. Here the size
and the id of a file come from the list of the repository's files. A body is read up to that size,
and only content with that id is put into the cache.
"""

import hashlib
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    httpx,
    tqdm,
)

from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.hub.errors import redacted
from seqzoo.checkpoint.hub.schemas import HubEntry, HubListedModel, HubModelInfo, HubReferences
from seqzoo.errors import CheckpointError, HubError, IntegrityError
from seqzoo.storage.documents import check, parse_json
from seqzoo.version import __version__

__all__ = [
    "LARGEST_ANSWER",
    "PATIENCE",
    "SLOWEST",
    "AnswerT",
    "download",
    "has_id",
    "list_files",
    "list_models",
    "list_references",
    "model_info",
    "remember",
]

logger = logging.getLogger("seqzoo")

PATIENCE = 60.0
"""Seconds that every answer may take."""
SLOWEST = 16 << 10
"""Bytes per second: a file may take its size divided by this in addition to ``PATIENCE``."""
LARGEST_ANSWER = 16 << 20
"""Bytes of a JSON answer, at most."""

_LARGEST_ERROR = 64 << 10
_MOST_REDIRECTS = 5
_TRIES = 3
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 10.0

AnswerT = TypeVar("AnswerT")


def model_info(address: HubAddress) -> HubModelInfo:
    """The commit of a revision, and whether the repository is private.

    Raises:
        HubError: the answer is malformed. Other errors are those of the Hub's client, which
            ``hub_errors`` turns into a ``HubError``.
    """
    path = f"/api/models/{address.repo}"
    if address.revision is not None:
        path += f"/revision/{quote(address.revision, safe='')}"
    return _ask(f"{path}?expand=sha&expand=private", HubModelInfo)


def list_files(address: HubAddress, names: list[str]) -> dict[str, HubEntry]:
    """The files and folders with these names at the address's commit; raises as ``model_info``."""
    path = f"/api/models/{address.repo}/paths-info/{quote(address.revision or 'main', safe='')}"
    entries = _ask(path, list[HubEntry], {"paths": names, "expand": "false"})
    return {entry.path: entry for entry in entries if entry.path in names}


def list_references(address: HubAddress) -> HubReferences:
    """The branches and tags of a repository; raises as ``model_info``."""
    return _ask(f"/api/models/{address.repo}/refs", HubReferences)


def list_models(tag: str, author: str | None, most: int) -> list[HubListedModel]:
    """The models that have a tag, at most ``most``; raises as ``model_info``.

    A model whose entry is malformed is left out with a warning.
    """
    fields = ("sha", "tags", "downloads", "likes", "private", "lastModified")
    query = "&".join(f"expand={field}" for field in fields)
    by_author = "" if author is None else f"&author={quote(author, safe='')}"
    path = f"/api/models?filter={tag}{by_author}&limit={most}&{query}"
    url: str | None = constants.ENDPOINT + path
    found: list[HubListedModel] = []
    deadline = time.monotonic() + 2 * PATIENCE
    while url is not None and len(found) < most:
        document, url = _page(url, deadline)
        if url is not None and not url.startswith(f"{constants.ENDPOINT}/"):
            raise HubError(f"the next page of models is at {redacted(url)}; check HF_ENDPOINT")
        # The limits hold for each model alone, so that one repository cannot hide all others.
        for entry in document if isinstance(document, list) else _checked(path, document, list):
            try:
                found.append(check("its entry", entry, HubListedModel))
            except CheckpointError as error:
                logger.warning("a model on the Hub is left out: %s", error)
    return found[:most]


def download(address: HubAddress, entry: HubEntry) -> Path:
    """Fetch a file at the address's commit into the Hub's cache; its path there.

    Args:
        address: repository and commit.
        entry: the entry of the file, from ``list_files``.

    Raises:
        IntegrityError: the body is not the listed file.
        HubError: the body is too long or too slow. Other errors are as for ``model_info``.
    """
    commit, blob = address.revision or "", entry.oid if entry.lfs is None else entry.lfs.oid
    repo = _cache_of(address)
    partial = repo / "blobs" / f"{blob}.{secrets.token_hex(4)}.incomplete"
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(hf_hub_url(address.repo, entry.path, revision=commit), entry, partial)
        # The cache keeps a file under its id, and the snapshot of a commit links to it.
        pointer = repo / "snapshots" / commit / entry.path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        link = pointer.with_name(f".{pointer.name}.{secrets.token_hex(4)}")
        try:
            if constants.HF_HUB_DISABLE_SYMLINKS:
                raise OSError
            link.symlink_to(os.path.relpath(repo / "blobs" / blob, pointer.parent))
        except OSError:  # without links the file itself is in the snapshot
            os.replace(partial, pointer)
        else:
            os.replace(partial, repo / "blobs" / blob)
            os.replace(link, pointer)
        return pointer
    finally:
        partial.unlink(missing_ok=True)


def has_id(pieces: Iterable[bytes], size: int, entry: HubEntry) -> bool:
    """Whether content has the listed size and id: its sha256, or git's sha1 of a small file."""
    if size != entry.size:
        return False
    if entry.lfs is not None:
        digest, expected = hashlib.sha256(), entry.lfs.oid
    else:
        digest, expected = hashlib.sha1(usedforsecurity=False), entry.oid
        digest.update(f"blob {size}\0".encode())
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest() == expected


def remember(address: HubAddress, commit: str) -> None:
    """Store in the Hub's cache which commit a branch or a tag points to, for use offline."""
    path = _cache_of(address) / "refs" / (address.revision or constants.DEFAULT_REVISION)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(commit)
    os.replace(temporary, path)


def _cache_of(address: HubAddress) -> Path:
    """The folder of a repository in the Hub's cache."""
    kind = constants.REPO_TYPE_MODEL
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=address.repo, repo_type=kind)


def _ask(path: str, schema: type[AnswerT], form: dict[str, Any] | None = None) -> AnswerT:
    document, _ = _page(constants.ENDPOINT + path, time.monotonic() + PATIENCE, form)
    return _checked(path, document, schema)


def _page(
    url: str, deadline: float, form: dict[str, Any] | None = None
) -> tuple[object, str | None]:
    """A JSON answer, and the address of the page after it."""
    with _answer("GET" if form is None else "POST", url, deadline, form=form) as response:
        content = b"".join(_body(response, LARGEST_ANSWER, deadline))
        after = response.links.get("next", {}).get("url")
    try:
        source = f"the answer of {redacted(url)}"
        return parse_json(source, content, remedy="check HF_ENDPOINT"), after
    except CheckpointError as error:
        raise HubError(str(error)) from error


def _checked(path: str, document: object, schema: type[AnswerT]) -> AnswerT:
    source = f"the answer of {redacted(constants.ENDPOINT + path)}"
    try:
        return check(source, document, schema, "check HF_ENDPOINT")
    except CheckpointError as error:
        raise HubError(str(error)) from error


def _fetch(url: str, entry: HubEntry, partial: Path) -> None:
    """Write the body of a file; resume lost connections and check the result against the list."""
    deadline = time.monotonic() + PATIENCE + entry.size / SLOWEST
    bar = tqdm(  # type: ignore[no-untyped-call]
        total=entry.size, desc=entry.path, unit="B", unit_scale=True, disable=None, delay=1
    )
    headers = {"X-HF-Download-Counter": "1"}
    with bar, partial.open("w+b") as stream:
        for attempt in range(1, _TRIES + 1):
            start = stream.seek(0, os.SEEK_END)
            more = {"Range": f"bytes={start}-"} if 0 < start < entry.size else {}
            try:
                with _answer("GET", url, deadline, headers=headers | more) as response:
                    if response.status_code != httpx.codes.PARTIAL_CONTENT:
                        bar.reset(entry.size)
                        start = stream.seek(0)
                        stream.truncate()
                    for piece in _body(response, entry.size - start, deadline):
                        stream.write(piece)
                        bar.update(len(piece))
            except httpx.TransportError:
                if attempt == _TRIES:
                    raise
                time.sleep(attempt)
                continue
            except HfHubHTTPError as error:
                if attempt == _TRIES or error.response.status_code not in _TRY_AGAIN:
                    raise
                time.sleep(_wait(error.response.headers.get("Retry-After"), attempt))
                continue
            size = stream.tell()
            stream.seek(0)
            if has_id(iter(lambda: stream.read(1 << 20), b""), size, entry):
                return
            if attempt == _TRIES:
                raise IntegrityError(
                    f"{redacted(url)} is not the file that the Hub lists: its size or its checksum "
                    "differs; try again, or ask its owner to push it again"
                )
            stream.truncate(0)


def _wait(header: str | None, attempt: int) -> float:
    """Seconds before the next attempt: the time that the Hub asks for, at most 10 seconds."""
    try:
        return min(max(float(header or attempt), 0.0), _LONGEST_WAIT)
    except ValueError:
        return float(attempt)


@contextmanager
def _answer(
    method: str,
    url: str,
    deadline: float,
    *,
    headers: dict[str, str] | None = None,
    form: dict[str, Any] | None = None,
) -> Iterator[Any]:
    """Send a request, follow redirects without reading their bodies, and raise for an error."""
    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled(f"{redacted(url)} is not requested while HF_HUB_OFFLINE is set")
    client = get_session()
    request = client.build_request(
        method,
        url,
        data=form,
        # Compressed bodies could grow without bound when they are read.
        headers=build_hf_headers(library_name="seqzoo", library_version=__version__)
        | {"Accept-Encoding": "identity"}
        | (headers or {}),
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
    )
    for _ in range(_MOST_REDIRECTS + 1):
        response = _send(client, request, deadline)
        try:
            if response.next_request is not None:
                # The client leaves the token out of a request to another host.
                request = response.next_request
                continue
            if response.is_error:
                content = b""
                for piece in _body(response, LARGEST_ANSWER, deadline):
                    content += piece
                    if len(content) > _LARGEST_ERROR:
                        break
                hf_raise_for_status(
                    httpx.Response(
                        response.status_code,
                        headers=response.headers,
                        content=content,
                        request=response.request,
                    )
                )
            yield response
            return
        finally:
            response.close()
    source = redacted(url)
    raise HubError(f"{source} redirects more than {_MOST_REDIRECTS} times; check HF_ENDPOINT")


def _send(client: Any, request: Any, deadline: float) -> Any:
    """Send a request and return the response, whose body is not read yet.

    The client limits the time between two bytes, so an endpoint that sends its headers byte by byte
    could hold it for hours. It waits in a thread of its own, which is left behind at the deadline.

    Raises:
        HubError: the headers are not complete in time. Other errors are those of the client.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up = threading.Event()

    def send() -> None:
        try:
            response = client.send(request, stream=True, follow_redirects=False)
        # It is raised by the thread that waits for the answer.
        except BaseException as error:
            answers.put(error)
            return
        answers.put(response)
        if given_up.is_set():
            response.close()

    threading.Thread(target=send, name="seqzoo-hub", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        given_up.set()
        raise HubError(f"{redacted(request.url)} answers too slowly; try again") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _body(response: Any, most: int, deadline: float) -> Iterator[bytes]:
    """The body of a response in pieces.

    Raises:
        HubError: it is compressed, has more than ``most`` bytes, or does not end in time.
    """
    source, found = redacted(response.url), 0
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HubError(f"{source} answers with a compressed body; check HF_ENDPOINT")
    for piece in response.iter_raw():
        found += len(piece)
        if found > most:
            raise HubError(
                f"{source} answers with more than the {most} bytes expected; check HF_ENDPOINT"
            )
        if time.monotonic() > deadline:
            raise HubError(f"{source} answers too slowly: {found} bytes came in time; try again")
        yield piece
