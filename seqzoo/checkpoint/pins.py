"""Pins: at which commit of the Hub each checkpoint of this project is published.

``pins.json`` is written by ``tools/publish.py``. A pin is used where a checkpoint is not installed.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta

from seqzoo.checkpoint.schemas import Commit, Repository
from seqzoo.plugins import CORE, catalogue
from seqzoo.registry import Catalogue, Registry
from seqzoo.specs import PretrainedSpec
from seqzoo.storage.documents import read_json
from seqzoo.storage.fields import Closed, Sha256
from seqzoo.storage.integrity import read_bytes

__all__ = [
    "PINS",
    "Pin",
    "known_checkpoints",
    "names_architecture",
    "pin_of",
    "pins",
    "read_pins",
    "render_pins",
]

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


@functools.cache
def pins() -> Mapping[str, Pin]:
    """The pins of this seqzoo, read once in a process; raises as ``read_pins``."""
    return read_pins(PINS)


def pin_of(spec: PretrainedSpec) -> Pin | None:
    """The pin of a registered checkpoint: the one its plugin registers, else that of seqzoo."""
    if spec.repo is not None and spec.revision is not None:
        return Pin(spec.repo, spec.revision, spec.sha256)
    return pins().get(spec.name)


def known_checkpoints() -> Registry[PretrainedSpec]:
    """All checkpoints by name: those that plugins register, and the other ones that are pinned.

    Without the architecture, which begins the name, a pinned checkpoint cannot be loaded.

    Raises:
        CheckpointError: ``pins.json`` is damaged.
    """
    everything = catalogue()
    return everything.pretrained.joined(
        PretrainedSpec(name, CORE, pin.repo, pin.revision, pin.sha256)
        for name, pin in pins().items()
        if name not in everything.pretrained and names_architecture(name, everything)
    )


def names_architecture(name: str, everything: Catalogue) -> bool:
    """Whether a checkpoint's name, ``ARCHITECTURE-DATA``, begins with a known architecture."""
    return any(name.startswith(f"{known}-") for known in everything.architectures.names())
