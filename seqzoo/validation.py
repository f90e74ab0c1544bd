"""Checks of the arguments of public calls: names, lists of ids, timestamps, numbers."""

import itertools
import operator
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from seqzoo.errors import UsageError, nearest

__all__ = [
    "list_of",
    "looks_like_path",
    "name_of",
    "one_of",
    "read_time",
    "read_times",
    "whole_number",
]

_FARTHEST_TIME = 2**62
"""Within it the difference of any two times fits 64 bits."""


def name_of(what: str, given: Any) -> str:
    """A name or a path as a string.

    Raises:
        UsageError: it is neither.
    """
    name = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(name, str):
        kind = type(given).__name__
        raise UsageError(f"{what} is a string; got the {kind} {reprlib.repr(given)}")
    return name


def looks_like_path(name: str) -> bool:
    """Whether a name is written as a path: it has a separator or begins with a tilde."""
    return "/" in name or os.sep in name or name in (".", "..") or name.startswith("~")


def list_of(what: str, of: str, given: Any) -> list[Any]:
    """A list, array, series or generator as a list.

    Raises:
        UsageError: it is a string, has no order (a set, a dict) or is not a collection.
    """
    if not isinstance(given, str | bytes | Mapping | Set) and isinstance(given, Iterable):
        try:
            return list(given)
        except TypeError:  # an array without dimensions calls itself iterable
            pass
    kind = "string" if isinstance(given, str) else type(given).__name__
    raise UsageError(f"{what} is a list of {of}; got the {kind} {reprlib.repr(given)}")


def one_of(name: str, given: Any, choices: Sequence[str]) -> None:
    """Check that an argument is one of the words that it may be.

    Raises:
        UsageError: it is another word.
    """
    if not isinstance(given, str) or given not in choices:
        near = nearest(given, choices) if isinstance(given, str) else ""
        expected = " or ".join(f"'{choice}'" for choice in choices)
        raise UsageError(f"{name} is {reprlib.repr(given)}{near or ';'} expected {expected}")


def whole_number(name: str, given: Any, low: int, high: int | None = None, why: str = "") -> int:
    """An int, or a whole number of numpy as an int.

    Raises:
        UsageError: it is not a whole number, or is outside ``low`` to ``high``.
    """
    try:
        if isinstance(given, bool):
            raise TypeError
        number = operator.index(given)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        limits = f"{low} or more" if high is None else f"{low} to {high}"
        shown = given if isinstance(given, int | float) else reprlib.repr(given)
        raise UsageError(f"{name} is {shown}; expected {limits}{why}")
    return number


def read_time(given: Any) -> int:
    """Unix seconds.

    Raises:
        UsageError: it is not a whole number, or is too large to take differences.
    """
    if type(given) is int and -_FARTHEST_TIME <= given <= _FARTHEST_TIME:
        return given  # at once: streaming reads one with every event
    return whole_number(
        "a timestamp", given, -_FARTHEST_TIME, _FARTHEST_TIME, ", whole unix seconds"
    )


def read_times(given: Any, items: int) -> list[int]:
    """The unix seconds of a history's items.

    Raises:
        UsageError: their number differs from that of the items, or one is not a timestamp or is
            earlier than the previous one.
    """
    times = list_of("timestamps", "unix seconds", given)
    # Checked one by one only where one may be wrong: long histories of many users take time.
    if (
        set(map(type, times)) != {int}
        or min(times) < -_FARTHEST_TIME
        or max(times) > _FARTHEST_TIME
    ):
        times = [read_time(time) for time in times]
    if len(times) != items:
        raise UsageError(f"{len(times)} timestamps for {items} items of a history")
    if times != sorted(times):
        before, time = next(pair for pair in itertools.pairwise(times) if pair[0] > pair[1])
        raise UsageError(
            f"timestamp {time} is earlier than that of the previous event "
            f"({before}); give the oldest first"
        )
    return times
