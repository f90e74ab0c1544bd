"""The file of pins: its schema, how it is read and how it is rendered."""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta

from seqzoo.checkpoint.schemas import Commit, Repository
from seqzoo.storage.documents import read_json
from seqzoo.storage.fields import Closed, Sha256
from seqzoo.storage.integrity import read_bytes

__all__ = ["PINS", "Pin", "pins", "read_pins", "render_pins", "use_pins"]

PINS = Path(__file__).parents[1] / "pins.json"

_LARGEST = 4 << 20
"""Bytes of a file of pins."""


class _Entry(Closed):
    """A pin in a file."""

    repo: Repository
    revision: Commit
    sha256: Sha256


_PinsFile: TypeAlias = Annotated[
    dict[str, Annotated[_Entry, Meta(description="an object with repo, revision and sha256")]],
    Meta(description="a mapping of names to pins"),
]


@dataclass(frozen=True)
class Pin:
    """A checkpoint on the Hub.

    Attributes:
        repo: ``org/name``.
        revision: commit, 40 hex digits.
        sha256: of its ``config.json``; None if a plugin registers it without one.
    """

    repo: str
    revision: str
    sha256: str | None


def read_pins(path: Path) -> dict[str, Pin]:
    """Read a file of pins: ``{name: {"repo", "revision", "sha256"}}``.

    Raises:
        CheckpointError: it cannot be read, or holds anything else.
    """
    content = read_bytes(path, _LARGEST)
    document = read_json(path, content, _PinsFile, remedy="restore the file, or reinstall seqzoo")
    return {name: Pin(**entry) for name, entry in document.items()}


def render_pins(pins: Mapping[str, Pin]) -> str:
    """The text of a file of pins, sorted by name."""
    document = {name: asdict(pin) for name, pin in sorted(pins.items())}
    return json.dumps(document, indent=2) + "\n"


def pins() -> Mapping[str, Pin]:
    """The pins of this seqzoo, read once in a process; raises as ``read_pins``."""
    return _kept_pins(_in_use[-1])


def use_pins(path: Path) -> None:
    """Take the pins from this file from now on, for a program that writes pins."""
    _in_use[:] = [path]
    _kept_pins.cache_clear()


_in_use = [PINS]


@functools.cache
def _kept_pins(path: Path) -> Mapping[str, Pin]:
    return read_pins(path)
