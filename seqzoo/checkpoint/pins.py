"""Pins: at which commit of the Hub each checkpoint of this project is published.

``pins.json`` is written by ``tools/publish.py``. A pin is used where a checkpoint is not installed.
"""

import functools
import logging

from seqzoo.checkpoint import pins_file
from seqzoo.checkpoint.pins_file import Pin
from seqzoo.plugins import CORE, OWN, catalogue, plugins
from seqzoo.registry import Catalogue, Registry
from seqzoo.specs import PretrainedSpec

__all__ = ["known_checkpoints", "pin_of"]

logger = logging.getLogger(__name__)


def pin_of(spec: PretrainedSpec) -> Pin | None:
    """The pin of a registered checkpoint: the one its plugin registers, else that of seqzoo."""
    if spec.repo is not None and spec.revision is not None:
        return Pin(spec.repo, spec.revision, spec.sha256)
    return pins_file.pins().get(spec.name)


def known_checkpoints() -> Registry[PretrainedSpec]:
    """All checkpoints by name: those that plugins register, and the other ones that are pinned.

    A pinned name always means the same weights: where a third-party plugin registers one,
    a warning says so, and the pin is used. Without the architecture, which begins the name, a
    pinned checkpoint cannot be loaded.

    Raises:
        CheckpointError: ``pins.json`` is damaged.
    """
    everything, pinned = catalogue(), pins_file.pins()
    others = {each.name for each in plugins().records if each.distribution not in OWN}
    known: Registry[PretrainedSpec] = Registry("checkpoint")
    for spec in everything.pretrained.in_order():
        if spec.name in pinned and spec.plugin in others:
            _warn_of_taken_name(spec.name, spec.plugin)
        else:
            known.add(spec)
    for name, pin in pinned.items():
        if name not in known and _names_architecture(name, everything):
            known.add(PretrainedSpec(name, CORE, pin.repo, pin.revision, pin.sha256))
    return known


@functools.cache  # once in a process
def _warn_of_taken_name(name: str, plugin: str) -> None:
    logger.warning(
        "plugin '%s' registers the checkpoint '%s', a name that seqzoo pins to weights of its own, "
        "which are used; a third-party checkpoint needs another name, such as '%s@VERSION'",
        plugin, name, name.split("@")[0],
    )  # fmt: skip


def _names_architecture(name: str, everything: Catalogue) -> bool:
    """Whether a checkpoint's name, ``ARCHITECTURE-DATA``, begins with a known architecture."""
    return any(name.startswith(f"{known}-") for known in everything.architectures.names())
