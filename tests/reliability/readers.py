"""Every input that seqzoo reads, each with valid content and a way to read damaged content.

A reader is made in a process of its own, in an empty folder. ``seeds`` are valid contents,
``mutate`` damages one of them, and ``read`` reads the result as users do. ``read`` must return or
raise a ``SeqzooError``; anything else is a failure.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Protocol

from tests.reliability import mutations

Mutate = Callable[[Sequence[bytes], Random], bytes]


class Reader(Protocol):
    """Reads one kind of file."""

    seeds: Sequence[bytes]

    def read(self, content: bytes) -> object:
        """Read damaged content; returns, or raises a ``SeqzooError``."""


Make = Callable[[Path], Reader]
READERS: dict[str, tuple[str, Make, Mutate]] = {}
"""By name: the area, what makes the reader in a folder, and how its content is damaged."""


def reader(name: str, area: str, mutate: Mutate | None = None) -> Callable[[Make], Make]:
    """Register a reader; by default any bytes of its content are damaged."""

    def register(make: Make) -> Make:
        READERS[name] = (area, make, mutate or any_bytes)
        return make

    return register


def any_bytes(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to the bytes of a valid content."""
    return mutations.damage(chance.choice(seeds), chance)


def load_all() -> dict[str, tuple[str, Make, Mutate]]:
    """All readers, those of every module."""
    from tests.reliability import (  # noqa: F401  they register themselves
        readers_checkpoint,
        readers_data,
        readers_outside,
        readers_state,
    )

    return READERS
