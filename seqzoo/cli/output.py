"""Stdout and stderr of a command: answers, JSON, notes, log records and errors."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from seqzoo.cli.stdout import answers
from seqzoo.errors import one_line

__all__ = [
    "complain",
    "log_from",
    "logs_on_stderr",
    "note",
    "print_json",
    "printable",
    "visible",
    "write",
]


def write(text: str) -> None:
    """Write to stdout; end the program quietly if the reader, such as ``head``, has left."""
    stdout = answers()
    try:
        stdout.write(text)
        stdout.flush()
    except BrokenPipeError:
        # The rest of the buffer must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        raise typer.Exit(141) from None
    except UnicodeEncodeError:
        stdout.write(text.encode(stdout.encoding, "replace").decode(stdout.encoding))


def print_json(document: Any) -> None:
    """Write one JSON document to stdout; invisible characters in its strings are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    write("".join(shown) + "\n")


def printable(text: object) -> str:
    """One line without invisible characters: ids, titles and messages may be untrusted."""
    return visible(one_line(text))


def visible(text: str) -> str:
    """The text with control, bidirectional and zero-width characters as escapes."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def note(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"{printable(message)}\n")


def complain(message: str) -> None:
    """Write the one line of an error to stderr."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    prefix = "\x1b[1;31merror:\x1b[0m" if colour else "error:"
    sys.stderr.write(f"{prefix} {printable(message)}\n")


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Write seqzoo's log to stderr while a command runs, from the level of warnings."""
    logger = logging.getLogger("seqzoo")
    handler, level = _StderrHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def log_from(level: int, part: str = "") -> None:
    """Show log records of this level and above, of all of seqzoo or of one part of it."""
    logging.getLogger(f"seqzoo.{part}" if part else "seqzoo").setLevel(level)


class _StderrHandler(logging.StreamHandler[Any]):
    """Writes to the current ``sys.stderr``, which a progress bar may have replaced."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The current stderr."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """The message in one line, with its level if it is a warning or worse."""
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return mark + printable(record.getMessage())
