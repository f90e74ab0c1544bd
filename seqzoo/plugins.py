"""Plugins: found through the entry-point group ``seqzoo``, loaded one by one, each on its own.

pluggy validates and calls the hook; finding and loading are ours, because pluggy's entry-point
loader stops at the first plugin that fails and skips a second distribution with a name it has seen.
A plugin that fails is set aside with its reason and the others go on.
"""

import contextlib
import functools
import logging
import os
import sys
import time
import traceback
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import pluggy

from seqzoo import builtin
from seqzoo.errors import PluginError, nearest
from seqzoo.hookspecs import GROUP, HookSpecs
from seqzoo.hookspecs import hookimpl as hookimpl
from seqzoo.registry import Catalogue, Registrar
from seqzoo.specs import Spec

logger = logging.getLogger("seqzoo")

CORE = "seqzoo"
"""What the core's own parts are registered as."""
API_VERSION = 1
"""Version of the hook and the interfaces; a plugin states its own as ``seqzoo_api_version``."""
_UNSTATED = 1
"""What a plugin is written for that does not say: there was no other when it could be left out."""


@dataclass
class PluginRecord:
    """One plugin that was found, and what became of it."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "disabled"] = "ok"
    reason: str = ""
    details: str = ""
    seconds: float = 0.0
    provides: list[str] = field(default_factory=list)


@dataclass
class Plugins:
    """All plugins and everything that the working ones registered."""

    catalogue: Catalogue
    records: list[PluginRecord]

    def record(self, name: str) -> PluginRecord:
        """The record of a plugin that is there, by its name."""
        for record in self.records:
            if record.name == name:
                return record
        raise PluginError(f"no plugin '{name}'; `seqzoo plugins` shows what is installed")


def _names_in(variable: str) -> set[str] | None:
    text = os.environ.get(variable)
    return None if text is None else {name.strip() for name in text.split(",") if name.strip()}


def _warn_of_absent(disabled: set[str], only: set[str], found: list[str]) -> None:
    """Say that a switch names a plugin that is not there: most often its name is misspelt."""
    for variable, names in (("SEQZOO_DISABLE_PLUGINS", disabled), ("SEQZOO_PLUGINS", only)):
        for name in sorted(names.difference(found)):
            logger.warning(
                "%s names the plugin '%s', which is not installed%s",
                variable,
                name,
                nearest(name, found) or "; `seqzoo plugins` shows those that are",
            )


def _found() -> list[tuple[EntryPoint, str, str]]:
    """Entry points with distribution and version; one that is on the path twice counts once."""
    found: dict[tuple[str, str], tuple[EntryPoint, str, str]] = {}
    for entry in entry_points(group=GROUP):
        # What an upgrade that was cut short leaves has neither name nor version.
        distribution = (entry.dist and entry.dist.name) or "unknown"
        version = (entry.dist and entry.dist.version) or ""
        found.setdefault((entry.name, distribution), (entry, distribution, version))
    # Our own distribution first, so that nobody takes over a name that ships with seqzoo.
    return [found[key] for key in sorted(found, key=lambda key: (key[1] != "seqzoo", key))]


def _register(module: Any, name: str) -> list[tuple[str, Spec]]:
    """Call the hook of one plugin and return what it registered."""
    version = getattr(module, "seqzoo_api_version", _UNSTATED)
    if version != API_VERSION:
        raise PluginError(
            f"it is written for plugin API {version}, this seqzoo has {API_VERSION}; "
            f"install a release of it for API {API_VERSION}"
        )
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    manager.register(module, name)
    if not manager.hook.seqzoo_register.get_hookimpls():
        raise PluginError("it has no function seqzoo_register marked with seqzoo.plugins.hookimpl")
    registrar = Registrar(name)
    manager.hook.seqzoo_register(zoo=registrar)
    return registrar.staged


def _load(entry: EntryPoint, record: PluginRecord, catalogue: Catalogue) -> None:
    started = time.perf_counter()
    try:
        # What a plugin prints when it is imported is no part of what a command prints.
        with contextlib.redirect_stdout(sys.stderr):
            specs = _register(entry.load(), record.name)
        catalogue.take(specs)
        record.provides = [f"{kind} {spec.name}" for kind, spec in specs]
    # A plugin is foreign code: whatever it raises, a call of sys.exit included, is its own failure.
    except (Exception, SystemExit) as error:
        record.status = "broken"
        text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        record.reason = " ".join(text.split())
        record.details = traceback.format_exc()
    record.seconds = time.perf_counter() - started


def core_catalogue() -> Catalogue:
    """What the core itself registers, without any plugin."""
    catalogue = Catalogue()
    catalogue.take(_register(builtin, CORE))
    return catalogue


def load_plugins() -> Plugins:
    """Find and load every plugin, without keeping the result; ``plugins()`` keeps it.

    Raises:
        PluginError: a plugin is broken and ``SEQZOO_STRICT_PLUGINS=1`` is set.
    """
    catalogue = core_catalogue()
    disabled = _names_in("SEQZOO_DISABLE_PLUGINS") or set()
    only = _names_in("SEQZOO_PLUGINS")
    records = []
    found = _found()
    _warn_of_absent(disabled, only or set(), [entry.name for entry, _, _ in found])
    for entry, distribution, version in found:
        record = PluginRecord(entry.name, distribution, version)
        records.append(record)
        if entry.name in disabled:
            record.status, record.reason = "disabled", "named in SEQZOO_DISABLE_PLUGINS"
        elif only is not None and entry.name not in only:
            record.status, record.reason = "disabled", "not named in SEQZOO_PLUGINS"
        elif any(other.name == entry.name and other.status == "ok" for other in records[:-1]):
            first = next(other for other in records if other.name == entry.name)
            record.status = "broken"
            record.reason = (
                f"distributions '{first.distribution}' and '{distribution}' both have an entry "
                f"point '{entry.name}'; uninstall one"
            )
        else:
            _load(entry, record, catalogue)
    broken = [record for record in records if record.status == "broken"]
    if broken and os.environ.get("SEQZOO_STRICT_PLUGINS") == "1":
        listing = "; ".join(f"{r.name} ({r.distribution} {r.version}): {r.reason}" for r in broken)
        raise PluginError(f"SEQZOO_STRICT_PLUGINS=1 and broken plugins: {listing}")
    return Plugins(catalogue, records)


@functools.cache
def plugins() -> Plugins:
    """All plugins, loaded once in a process."""
    return load_plugins()


def catalogue() -> Catalogue:
    """Everything registered by the core and by the working plugins."""
    return plugins().catalogue
