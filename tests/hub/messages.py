"""What goes between a client and the server, and what the log keeps of it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .faults import Fault
from .store import HubError

if TYPE_CHECKING:
    from .server import HubServer


@dataclass
class Entry:
    """One request and how it was answered. ``status`` 0 means no response."""

    method: str
    path: str
    host: str
    authorization: bool
    range: str | None
    user_agent: str
    status: int = 0
    bytes_sent: int = 0
    fault: str | None = None
    repo: str | None = None
    file: str | None = None
    size: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def is_transfer(self) -> bool:
        """Whether content of a file was sent."""
        return self.method == "GET" and self.file is not None and self.status in (200, 206)

    @property
    def is_whole(self) -> bool:
        """Whether all of a file was sent."""
        return self.is_transfer and self.status == 200 and self.bytes_sent >= self.size


@dataclass
class Transfers:
    """How often a file was sent: whole, and in part (a range, or cut off)."""

    whole: int = 0
    partial: int = 0


@dataclass
class Request:
    """What a client asked for."""

    hub: "HubServer"
    method: str
    target: str
    headers: "Message[str, str]"
    body: bytes
    entry: Entry
    fault: Fault | None

    @property
    def path(self) -> str:
        """The path, still quoted, without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    @property
    def role(self) -> str | None:
        """``write``, ``read``, or None without a token; a token that nobody has is refused."""
        if self.token is None:
            return None
        if self.token not in self.hub.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[self.token]

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, f"Invalid JSON: {error}") from None

    def flag(self, name: str) -> bool:
        """Whether the query switches something on."""
        return self.query.get(name, ["false"])[-1].lower() in ("1", "true")


@dataclass
class Reply:
    """An answer; ``ranges`` allows the client to ask for a part of the body."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = False


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer."""
    kind = {"Content-Type": "application/json"}
    return Reply(json.dumps(document).encode(), status, kind | dict(headers or {}))
