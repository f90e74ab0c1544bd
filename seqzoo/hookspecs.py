"""The hook that every plugin implements: ``seqzoo_register``."""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from seqzoo.registrar import Registrar

__all__ = [
    "GROUP",
    "HookSpecs",
    "hookimpl",
    "hookspec",
]

GROUP = "seqzoo"
"""Entry-point group of the plugins, and name of the hooks' project."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class HookSpecs:
    """The hooks that seqzoo calls."""

    @hookspec
    def seqzoo_register(self, zoo: "Registrar") -> None:
        """Register parts, architectures, checkpoints, data sets, splits, metrics and protocols."""
