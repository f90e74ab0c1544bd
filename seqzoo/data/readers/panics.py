"""Turn panics of polars into exceptions, without their Rust traces on stderr."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

__all__ = ["panics_as_errors"]

_STDERR = 2
_TRACE = b"\nthread '"

# Threads that redirected stderr at the same time would restore it to each other's files.
_lock = threading.Lock()


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a panic of polars as a ``PolarsError``; its trace is not printed.

    Some damaged files make polars panic: Python gets a ``BaseException``, which no ``except
    Exception`` catches, and Rust prints a stack trace straight to file descriptor 2. So that
    descriptor is redirected to a temporary file while polars reads. Other output is written to
    stderr afterwards, up to the start of a trace.

    A file that makes polars ask for exabytes of memory still ends the process: Rust aborts then.

    Raises:
        ComputeError: polars panicked; the first line of the panic is the message.
    """
    with _lock, tempfile.TemporaryFile() as file:
        try:
            original = os.dup(_STDERR)
        except OSError:  # stderr is closed, so nothing can be printed there
            original = None
        panicked = False
        try:
            if original is not None:
                os.dup2(file.fileno(), _STDERR)
            yield
        except pl.exceptions.PanicException as error:
            panicked = True
            first = (str(error).splitlines() or ["no reason given"])[0]
            raise pl.exceptions.ComputeError(f"polars panicked: {first}") from None
        finally:
            if original is not None:
                os.dup2(original, _STDERR)
                os.close(original)
                file.seek(0)
                written = file.read()
                if panicked:
                    written = written.partition(_TRACE)[0]
                if written:
                    os.write(_STDERR, written)
