"""A server on this machine that speaks the Hugging Face Hub's HTTP contract.

with HubServer() as hub:
    commit = hub.add_repo("org/name", {"config.json": b"{}"})
    hub.faults.add("config.json", kind="reset")
    ...  # a client with HF_ENDPOINT=hub.url
    assert hub.transfers("org/name")["config.json"].whole == 1
"""

import dataclasses
import re
import secrets
import socket
import struct
import threading
import time
import traceback
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

from . import listings, uploads  # noqa: F401  They add their routes.
from .faults import Fault, Faults
from .messages import Entry, Reply, Request, Transfers, answer
from .routes import find
from .store import Blob, HubError, Repo, Store, is_large

PIECE = 256 * 1024


class Handler(BaseHTTPRequestHandler):
    """Reads a request, finds its route and its fault, and sends the answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30
    server: "HTTPServer"

    def serve(self) -> None:
        hub = self.server.hub
        path = unquote(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = hub.faults.take(self.command, path)
        self.entry = Entry(
            self.command,
            path,
            self.headers.get("Host", ""),
            "Authorization" in self.headers,
            self.headers.get("Range"),
            self.headers.get("User-Agent", ""),
            fault=fault.kind if fault else None,
        )
        hub.record(self.entry)
        request = Request(hub, self.command, self.path, self.headers, body, self.entry, fault)
        if fault is not None and fault.kind == "hang-up":
            self.drop()
            return
        try:
            self.send(hub.reply(request), fault)
        except OSError:  # The client went away.
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    def send(self, reply: Reply, fault: Fault | None) -> None:
        """Send an answer, with what is to go wrong with it."""
        body, status, headers = reply.body, reply.status, dict(reply.headers)
        self.entry.size = len(body)
        kind = fault.kind if fault is not None else None
        if fault is not None:
            body = fault.spoil(body)
        if reply.ranges and status == 200:
            status, body = self.cut_range(body, headers)
        if fault is not None and kind == "replace":
            status, headers = fault.status, headers | dict(fault.headers)
            body = body if fault.data is None else fault.data
        half = len(body) // 2 if fault is None or fault.after is None else fault.after
        if kind == "short":
            body = body[:half]
        length = len(body)
        if fault is not None and kind == "huge":
            length = fault.size
            if "X-Linked-Size" in headers:
                headers["X-Linked-Size"] = str(length)
        self.entry.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind in ("reset", "truncate"):
            self.send_body(body[:half])
            self.drop(reset=kind == "reset")
        elif fault is not None and kind == "slow":
            self.send_body(body, fault.chunk, fault.seconds)
        elif fault is not None and kind == "huge":
            self.send_body(body)
            for start in range(0, fault.extra, PIECE):
                self.send_body(bytes(min(PIECE, fault.extra - start)))
            self.drop()
        else:
            self.send_body(body)

    def cut_range(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """The part of a body that the client asked for, and the status to send it with."""
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found is None or found.group() == "bytes=-":
            return 200, body
        first, last = found.groups()
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last) if first and last else len(body) - 1, len(body) - 1)
        if start > end:
            headers["Content-Range"] = f"bytes */{len(body)}"
            return 416, b""
        headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        return 206, body[start : end + 1]

    def send_body(self, body: bytes, chunk: int = PIECE, seconds: float = 0.0) -> None:
        for start in range(0, len(body), chunk):
            if start and seconds:
                time.sleep(seconds)
            piece = body[start : start + chunk]
            # Counted first: when the client has the last byte the log must be complete.
            self.entry.bytes_sent += len(piece)
            try:
                self.wfile.write(piece)
            except OSError:
                self.entry.bytes_sent -= len(piece)
                raise

    def drop(self, reset: bool = False) -> None:
        """End the connection, in order or not."""
        self.close_connection = True
        if not reset:
            self.connection.shutdown(socket.SHUT_WR)
            return
        time.sleep(0.2)  # A reset takes back what has not arrived yet.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Print nothing."""


class HTTPServer(ThreadingHTTPServer):
    """Many threads; knows its open connections, to end them with the server."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, hub: "HubServer"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        self.connections: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is expected here."""


class HubServer:
    """The Hub, as far as models go.

    Attributes:
        url: What to set ``HF_ENDPOINT`` to.
        tokens: The tokens that are known, and what each may do: ``write`` or ``read``.
        user: Whose tokens they are.
        upload_mode: ``regular`` keeps every upload out of LFS, which a client with Xet needs.
        page_size: The longest page of a listing.
        part_size: Above it an LFS object is uploaded in parts; None means always in one.
        faults: The rules of what goes wrong.
        errors: Tracebacks of the server's own failures: a test must end with none.
    """

    def __init__(self) -> None:
        self.tokens = {"hf_test_write": "write", "hf_test_read": "read"}
        self.user = "tester"
        self.upload_mode: str | None = None
        self.page_size = 1000
        self.part_size: int | None = None
        self.faults = Faults()
        self.errors: list[str] = []
        self.store = Store()
        self.signature = secrets.token_hex(8)
        self._log: list[Entry] = []
        self._lock = threading.Lock()
        self._server = HTTPServer(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop: from now on nobody gets a connection, and those that are open end."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._server.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def reply(self, request: Request) -> Reply:
        """The answer to a request."""
        fault = request.fault
        try:
            if fault is not None and fault.kind == "status":
                raise HubError(fault.status, fault.message, fault.error_code)
            return find(request)
        except HubError as error:
            message = " ".join(error.message.encode("ascii", "replace").decode().split())
            headers = {"X-Error-Message": message}
            if error.code:
                headers["X-Error-Code"] = error.code
            if error.commit:
                headers["X-Repo-Commit"] = error.commit
            if fault is not None and fault.kind == "status" and fault.retry_after is not None:
                headers["Retry-After"] = str(fault.retry_after)
            return answer({"error": error.message}, error.status, headers)
        except Exception:  # A mistake of this server: the test has to say so.
            self.errors.append(traceback.format_exc())
            return answer({"error": self.errors[-1]}, 500)

    # What tests put in and look at.

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes | str] | None = None,
        *,
        private: bool = False,
        gated: bool = False,
        tag: str | None = None,
    ) -> str:
        """Create a repository with files (any names); the id of its newest commit."""
        with self.store.lock:
            repo = self.store.create(repo_id, private=private, gated=gated)
            if files:
                self.commit(repo_id, files)
            if tag:
                repo.name_reference("tag", tag, "main")
            return repo.resolve().id

    def commit(
        self,
        repo_id: str,
        changes: Mapping[str, bytes | str | None],
        *,
        revision: str = "main",
        title: str = "Change files",
    ) -> str:
        """Add a commit, as if somebody else had; ``None`` deletes a file. Returns its id."""
        blobs: dict[str, Blob | None] = {}
        for path, content in changes.items():
            content = content.encode() if isinstance(content, str) else content
            if content is None:
                blobs[path] = None
            else:
                blobs[path] = Blob(content, is_large(path, len(content), content[:512]))
        with self.store.lock:
            made, _ = self.repo(repo_id).commit(revision, blobs, title=title)
            return made.id

    def repo(self, repo_id: str) -> Repo:
        """A repository, to look at and to change: private, gated, allowed, tags, branches."""
        return self.store.repos[repo_id]

    def head(self, repo_id: str, revision: str = "main") -> str:
        """The commit id of a revision."""
        with self.store.lock:
            return self.repo(repo_id).resolve(revision).id

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The contents of a revision."""
        with self.store.lock:
            commit = self.repo(repo_id).resolve(revision)
            return {path: blob.content for path, blob in commit.files.items()}

    # The request log.

    def record(self, entry: Entry) -> None:
        with self._lock:
            self._log.append(entry)

    @property
    def log(self) -> list[Entry]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return [dataclasses.replace(entry) for entry in self._log]

    def clear_log(self) -> None:
        with self._lock:
            self._log.clear()

    def requests(self, method: str | None = None, match: str = "") -> list[Entry]:
        """The requests of a method whose path contains something."""
        return [
            entry for entry in self.log if method in (None, entry.method) and match in entry.path
        ]

    def transfers(self, repo_id: str) -> dict[str, Transfers]:
        """How often each file of a repository was sent."""
        found: dict[str, Transfers] = {}
        for entry in self.log:
            if not entry.is_transfer or entry.repo != repo_id or entry.file is None:
                continue
            count = found.setdefault(entry.file, Transfers())
            if entry.is_whole:
                count.whole += 1
            else:
                count.partial += 1
        return found
