"""Pins: at which commit of the Hub each checkpoint of this project is published.

``pins.json`` is written by ``tools/publish.py``. A pin is used where a checkpoint is not installed.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from seqzoo.registry import Catalogue
from seqzoo.specs import PretrainedSpec
from seqzoo.storage.documents import read_json
from seqzoo.storage.integrity import read_bytes

PINS = Path(__file__).parents[1] / "pins.json"

_LARGEST = 4 << 20
"""Bytes of a file of pins."""


class _Entry(Struct, forbid_unknown_fields=True):
    """A pin in a file."""

    repo: Annotated[
        str,
        Meta(
            pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z",
            description="org/name",
        ),
    ]
    revision: Annotated[
        str, Meta(pattern=r"\A[0-9a-f]{40}\Z", description="a commit of 40 hex digits")
    ]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hex digits")]


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


def unregistered_pins(catalogue: Catalogue, plugin: str) -> list[PretrainedSpec]:
    """Specs of pinned checkpoints that no plugin registers, to be registered by ``plugin``.

    Without the architecture, which begins the name, a checkpoint cannot be loaded.
    """
    return [
        PretrainedSpec(name, plugin, pin.repo, pin.revision, pin.sha256)
        for name, pin in pins().items()
        if name not in catalogue.pretrained and names_architecture(name, catalogue)
    ]


def names_architecture(name: str, catalogue: Catalogue) -> bool:
    """Whether a checkpoint's name, ``ARCHITECTURE-DATA``, begins with a known architecture."""
    return any(name.startswith(f"{known}-") for known in catalogue.architectures.names())
