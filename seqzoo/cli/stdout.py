"""Stdout holds the answer of a verb and nothing else.

Plugins and libraries print too: at import, from threads, from child processes, at exit. One such
line on stdout would break ``--json`` for its reader, so all of it goes to stderr.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

__all__ = ["answers", "answers_to", "lent", "reserve"]


@dataclass
class _Stdout:
    """The stream for answers, and whether file descriptor 1 points to stderr for now."""

    stream: TextIO | None = None
    reserved: bool = False


_stdout = _Stdout()


def answers() -> TextIO:
    """The stream that answers are written to."""
    return _stdout.stream or sys.stdout


def reserve() -> TextIO:
    """Point file descriptor 1 and ``sys.stdout`` at stderr for the rest of this process.

    Returns:
        A stream on the real stdout. If the calling program has replaced ``sys.stdout``, nothing is
        changed, and its replacement is returned.
    """
    if sys.stdout is None:  # stdout was closed by whoever started the process
        return open(os.devnull, "w", encoding="utf-8")
    printed: TextIO = sys.stdout
    if printed is not sys.__stdout__:
        return printed
    printed.flush()
    stream = os.fdopen(os.dup(1), "w", encoding=printed.encoding, errors=printed.errors)
    _silence_descriptor()
    sys.stdout = sys.stderr
    _stdout.reserved = True
    return stream


@contextlib.contextmanager
def answers_to(stream: TextIO) -> Iterator[None]:
    """Write answers to ``stream``; everything else that is printed goes to stderr."""
    before, _stdout.stream = _stdout.stream, stream
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.stream = before


@contextlib.contextmanager
def lent() -> Iterator[None]:
    """Give stdout to code whose prints are the answer: a verb of a plugin, or the parser."""
    stream = answers()
    reserved, _stdout.reserved = _stdout.reserved, False
    if reserved:
        os.dup2(stream.fileno(), 1)
    try:
        with contextlib.redirect_stdout(stream):
            yield
        stream.flush()
    finally:
        if reserved:
            _silence_descriptor()
            _stdout.reserved = True


def _silence_descriptor() -> None:
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
