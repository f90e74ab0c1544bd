"""Faults on purpose: rules that say which requests go wrong, how and how often."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    "hang-up",
    "status",
    "redirect",
    "reset",
    "truncate",
    "short",
    "wrong-bytes",
    "slow",
    "huge",
    "replace",
]


@dataclass
class Fault:
    """One rule. Requests whose method and path match it go wrong ``times`` times.

    Attributes:
        match: Part of the path (unquoted, with the query), or a regular expression to search it.
        kind: What goes wrong:

            * ``hang-up``: close the connection without an answer;
            * ``status``: answer with ``status``, and ``retry_after``, ``error_code``, ``message``;
            * ``redirect``: answer 302 to the same content at ``host`` (same port, no token needed);
            * ``reset``: send ``after`` bytes of the body (half of it), then reset the connection;
            * ``truncate``: the same, but close the connection in order;
            * ``short``: send only that much and declare no more than that;
            * ``wrong-bytes``: flip one bit of byte ``at`` (the middle one), or send ``data``, cut
              or repeated to the right length;
            * ``slow``: send ``chunk`` bytes at a time with ``seconds`` between;
            * ``huge``: declare ``size`` bytes, send the body and ``extra`` zeros, then close;
            * ``replace``: answer with ``status``, further ``headers``, and ``data``
              where that is given.
        method: Which requests; ``None`` means every one.
        times: How often; ``None`` means always.
        skip: How many requests that match get through first.
        fired: How often it has happened.
    """

    match: str | re.Pattern[str]
    kind: Kind
    method: str | None = "GET"
    times: int | None = 1
    skip: int = 0
    status: int = 500
    retry_after: float | None = None
    error_code: str | None = None
    message: str = "on purpose"
    host: str = "localhost"
    after: int | None = None
    at: int | None = None
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunk: int = 1024
    seconds: float = 0.1
    size: int = 1 << 50
    extra: int = 0
    fired: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no fault is called {self.kind!r}: {', '.join(get_args(Kind))}")

    def fits(self, method: str, path: str) -> bool:
        """Whether it is about this request and still has a turn."""
        if self.method not in (None, method) or self.fired == self.times:
            return False
        if isinstance(self.match, str):
            return self.match in path
        return self.match.search(path) is not None

    def spoil(self, content: bytes) -> bytes:
        """A file's content with wrong bytes in it."""
        if self.kind != "wrong-bytes" or not content:
            return content
        if self.data is not None:
            repeats = -(-len(content) // max(1, len(self.data)))
            return (self.data * repeats)[: len(content)]
        spoiled = bytearray(content)
        spoiled[len(content) // 2 if self.at is None else self.at] ^= 1
        return bytes(spoiled)


class Faults:
    """The rules in force, in the order they were added: the first that fits is used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def add(
        self,
        match: str | re.Pattern[str],
        *,
        kind: Kind,
        method: str | None = "GET",
        times: int | None = 1,
        skip: int = 0,
        **options: object,
    ) -> Fault:
        """Add a rule and return it; ``options`` are the attributes of `Fault`."""
        rule = Fault(match, kind, method, times, skip, **options)  # type: ignore[arg-type]
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Let everything go right again."""
        with self._lock:
            self._rules.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The rule for a request, used up by one."""
        with self._lock:
            for rule in self._rules:
                if not rule.fits(method, path):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                # A redirect must not catch the request that it led to.
                if rule.kind == "redirect" and path.startswith("/cdn/"):
                    continue
                rule.fired += 1
                return rule
        return None
