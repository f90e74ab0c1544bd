"""Pins: at which commit of the Hub each checkpoint of this project is published.

``pins.json`` is written by ``tools/publish.py``. A pin is used where a checkpoint is not installed.
"""

from seqzoo.checkpoint import pins_file
from seqzoo.checkpoint.pins_file import Pin
from seqzoo.plugins import CORE, catalogue
from seqzoo.registry import Catalogue, Registry
from seqzoo.specs import PretrainedSpec

__all__ = ["known_checkpoints", "pin_of"]


def pin_of(spec: PretrainedSpec) -> Pin | None:
    """The pin of a registered checkpoint: the one its plugin registers, else that of seqzoo."""
    if spec.repo is not None and spec.revision is not None:
        return Pin(spec.repo, spec.revision, spec.sha256)
    return pins_file.pins().get(spec.name)


def known_checkpoints() -> Registry[PretrainedSpec]:
    """All checkpoints by name: those that plugins register, and the other ones that are pinned.

    Without the architecture, which begins the name, a pinned checkpoint cannot be loaded.

    Raises:
        CheckpointError: ``pins.json`` is damaged.
    """
    everything = catalogue()
    return everything.pretrained.joined(
        PretrainedSpec(name, CORE, pin.repo, pin.revision, pin.sha256)
        for name, pin in pins_file.pins().items()
        if name not in everything.pretrained and _names_architecture(name, everything)
    )


def _names_architecture(name: str, everything: Catalogue) -> bool:
    """Whether a checkpoint's name, ``ARCHITECTURE-DATA``, begins with a known architecture."""
    return any(name.startswith(f"{known}-") for known in everything.architectures.names())
