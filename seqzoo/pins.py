"""Pins: at which commit of the Hub each checkpoint of this project is published.

``pins.json`` is written by ``tools/publish.py``. A pin is used where a checkpoint is not installed.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from seqzoo.errors import CheckpointError
from seqzoo.registry import Catalogue
from seqzoo.specs import PretrainedSpec, Spec

PINS = Path(__file__).with_name("pins.json")

_FIELDS = {
    "repo": ("org/name", re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")),
    "revision": ("a commit of 40 hex digits", re.compile("[0-9a-f]{40}")),
    "sha256": ("64 hex digits", re.compile("[0-9a-f]{64}")),
}


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
    remedy = "restore it, or reinstall seqzoo"
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); {remedy}") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} is not a mapping of names to pins; {remedy}")
    for name, entry in document.items():
        if not isinstance(entry, dict) or entry.keys() != _FIELDS.keys():
            raise CheckpointError(
                f"{path}: '{name}' is {entry!r}, expected {', '.join(_FIELDS)}; {remedy}"
            )
        for field, (expected, pattern) in _FIELDS.items():
            if not isinstance(entry[field], str) or not pattern.fullmatch(entry[field]):
                raise CheckpointError(
                    f"{path}: {field} of '{name}' is {entry[field]!r}, expected {expected}; "
                    f"{remedy}"
                )
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


def unregistered_pins(catalogue: Catalogue, plugin: str) -> list[tuple[str, Spec]]:
    """Specs of pinned checkpoints that no plugin registers, to be registered by ``plugin``.

    Without the architecture, which begins the name, a checkpoint cannot be loaded.
    """
    return [
        ("checkpoint", PretrainedSpec(name, plugin, pin.repo, pin.revision, pin.sha256))
        for name, pin in pins().items()
        if name not in catalogue.pretrained and names_architecture(name, catalogue)
    ]


def names_architecture(name: str, catalogue: Catalogue) -> bool:
    """Whether a checkpoint's name, ``ARCHITECTURE-DATA``, begins with a known architecture."""
    return any(name.startswith(f"{known}-") for known in catalogue.architectures.names())
