"""Progress bars on stderr, in terminals only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from seqzoo.training.progress import users_progress

__all__ = ["hub_progress", "users_bar"]


@contextmanager
def users_bar(total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar that counts users; yields the function that advances it by a number of users."""
    if quiet or not sys.stderr.isatty():
        yield lambda users: None
        return
    with users_progress(total) as advance:
        yield advance


@contextmanager
def hub_progress(*, quiet: bool) -> Iterator[None]:
    """Show the progress bars of the Hub's client in a terminal, unless ``quiet``."""
    silent = (quiet or not sys.stderr.isatty()) and not are_progress_bars_disabled()
    if silent:
        disable_progress_bars()
    try:
        yield
    finally:
        if silent:
            enable_progress_bars()
