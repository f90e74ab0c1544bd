"""Download files: interrupted downloads resume, and only a checked file gets its final name."""

import contextlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from seqzoo.data.checksums import Sums, difference, measure, record_of, remember, remembered
from seqzoo.errors import DownloadError, UsageError, one_line

__all__ = ["download"]

_BLOCK = 1 << 16
_TIMEOUT_SECONDS = 60.0
_SURPLUS = 1 << 20
"""Bytes that are read beyond the expected size, so that a message can tell the true size."""

_RUN_AGAIN = "run the same command again to resume"


def download(
    url: str,
    destination: str | Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    progress: bool = True,
) -> Path:
    """Download a file, unless it exists already, and check it.

    The bytes go to ``<destination>.part``, which is kept when the connection breaks; the next call
    resumes it. Only a file with the right checksums is renamed to ``destination``. Without a given
    checksum, the sha256 of the first download is recorded in ``<destination>.sha256`` and checked
    from then on.

    Args:
        url: an ``http`` or ``https`` address.
        destination: the file to write; its folder is created.
        size: the expected size in bytes.
        md5: the expected md5 in hexadecimal.
        sha256: the expected sha256 in hexadecimal.
        progress: show a progress bar on stderr, if that is a terminal.

    Returns:
        The destination.

    Raises:
        UsageError: the address is neither ``http`` nor ``https``.
        DownloadError: the server cannot be reached, the connection broke, the file has other
            checksums, or it cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"the address '{url}' cannot be fetched; expected http:// or https://")
    destination = Path(destination)
    expected = Sums(size, md5, sha256)
    try:
        if not destination.exists():
            # A slow import. The name is documented, but not exported for type checkers.
            from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

            destination.parent.mkdir(parents=True, exist_ok=True)
            # Two processes must not write into the same partial file. The lock file is kept: if it
            # were removed, two waiting processes could lock different files.
            with WeakFileLock(destination.with_name(f".{destination.name}.lock")):
                if not destination.exists():  # another process may have fetched it by now
                    _fetch(url, destination, expected, progress)
                    return destination
        found = measure(destination)
        known = expected if expected.published else remembered(destination)
        if wrong := difference(known, found):
            raise DownloadError(f"{destination} has {wrong}; delete it and run again")
        if not expected.published and known.sha256 is None:
            with contextlib.suppress(PermissionError):  # a shared cache may be read-only
                remember(destination, found)
    # ValueError and OverflowError: an invalid address or length.
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        OSError,
        ValueError,
        OverflowError,
    ) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise DownloadError(
            f"{url} could not be fetched into {destination}: {one_line(reason, 200)}; {_RUN_AGAIN}"
        ) from error
    return destination


def _fetch(url: str, destination: Path, expected: Sums, progress: bool) -> None:
    part = destination.with_name(destination.name + ".part")
    _receive(url, part, destination.name, progress, expected.size)
    found = measure(part)
    known = expected
    if not expected.published:
        known = Sums(expected.size, None, remembered(destination).sha256)
    wrong = difference(known, found)
    if wrong:
        _discard(part)
        remedy = "run again; if the error persists, the publisher has changed the file"
        if not expected.published and record_of(destination).exists():
            remedy = f"if the publisher has updated the file, delete {record_of(destination)}"
        raise DownloadError(f"{url} gave a file with {wrong}; it was removed; {remedy}")
    if not expected.published:
        remember(destination, found)
    os.replace(part, destination)
    _discard(part)


def _receive(url: str, part: Path, label: str, progress: bool, most: int | None) -> None:
    """Download what is missing of the partial file, which is to have at most ``most`` bytes."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "seqzoo"})  # noqa: S310 - http(s)
    tag = _tag_of(part).read_text(errors="replace") if have and _tag_of(part).exists() else ""
    if tag and not _can_be_sent(tag):  # the file of the tag is damaged
        _discard(part)
        have = 0
    if have:
        request.add_header("Range", f"bytes={have}-")
        if tag:
            # If the file has changed since, the server sends all of it instead of the rest.
            request.add_header("If-Range", tag)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310 - http(s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
                raise DownloadError(
                    f"{url} answered {error.code} {one_line(error.reason, 100)}; check the "
                    "address or give a path"
                ) from error
            total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range") or "")
        if total and int(total[1]) == have:
            return  # the partial file was already complete
        _discard(part)
        _receive(url, part, label, progress, most)
        return
    with response:
        start = _start_of(response)
        if start not in (0, have):
            raise DownloadError(f"{url} answered from byte {start}, asked for {have}; {_RUN_AGAIN}")
        length = response.headers.get("Content-Length")
        total_bytes = None if length is None else start + int(length)
        tag = response.headers.get("ETag") or ""
        if _can_be_sent(tag):
            _tag_of(part).write_text(tag)
        else:
            _tag_of(part).unlink(missing_ok=True)
        with (
            part.open("ab" if start else "wb") as stream,
            _progress(label, start, total_bytes, progress) as advance,
        ):
            got = start
            while block := response.read(_BLOCK):
                stream.write(block)
                got += len(block)
                advance(len(block))
                if most is not None and got > most + _SURPLUS:
                    return  # the caller refuses the file; the rest could fill the disk
    # http.client does not report a body that was cut off.
    if total_bytes is not None and got < total_bytes:
        raise DownloadError(
            f"{url} was cut off after {got:,} of {total_bytes:,} bytes; {_RUN_AGAIN}"
        )


def _start_of(response: http.client.HTTPResponse) -> int:
    """The position of the first byte of the response: 0 if the server ignored the range."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(match[1]) if match else -1


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _can_be_sent(tag: str) -> bool:
    """Whether a tag can be sent with a range, for which HTTP forbids weak ones."""
    return tag != "" and tag.isascii() and tag.isprintable() and not tag.startswith("W/")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(
    label: str, start: int, total: int | None, wanted: bool
) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of new bytes, which moves a bar on a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console  # most calls find the file in the cache and need no bar
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=start)
        yield lambda count: bar.advance(task, count)
