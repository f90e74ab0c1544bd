"""Panics of polars: what is raised, and what is left on stderr."""

import os

import polars as pl
import pytest

from seqzoo.data.readers.panics import panics_as_errors


def panic():
    """What polars does: the trace on stderr, then an exception that is no ``Exception``."""
    os.write(2, b"a warning of another thread\n")
    os.write(2, b"\nthread 'x' panicked at a.rs:1:\nno such page\nstack backtrace:\n 0: f\n")
    raise pl.exceptions.PanicException("no such page\nat a.rs")


def test_a_panic_is_an_error_and_its_trace_is_not_printed(capfd):
    message = r"^polars panicked: no such page$"
    with pytest.raises(pl.exceptions.ComputeError, match=message), panics_as_errors():
        panic()
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "a warning of another thread\nlater\n"


def test_other_output_and_other_exceptions_pass(capfd):
    with panics_as_errors():
        os.write(2, b"\nthread 'x' is not a panic here\n")
    with pytest.raises(KeyboardInterrupt), panics_as_errors():
        raise KeyboardInterrupt
    assert capfd.readouterr().err == "\nthread 'x' is not a panic here\n"


def test_a_closed_stderr_does_no_harm():
    kept = os.dup(2)
    try:
        os.close(2)
        with panics_as_errors():
            pass
    finally:
        os.dup2(kept, 2)
        os.close(kept)
