"""Plugins: found through the entry-point group ``seqzoo`` and loaded one by one.

pluggy validates and calls the hook. Finding and loading are our own, because pluggy's entry-point
loader stops at the first plugin that fails, and skips a second distribution with the same
entry-point name. A plugin that fails is skipped, and the reason is recorded; the others are loaded.
"""

import contextlib
import functools
import logging
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any, Literal

import pluggy

from seqzoo import builtin
from seqzoo.errors import PluginError, error_text, nearest
from seqzoo.hookspecs import GROUP, HookSpecs
from seqzoo.hookspecs import hookimpl as hookimpl
from seqzoo.hookspecs import hookspec as hookspec
from seqzoo.registrar import Registrar
from seqzoo.registry import Catalogue
from seqzoo.specs import Spec

__all__ = [
    "API_VERSION",
    "CORE",
    "MODEL_CARDS",
    "OWN",
    "PluginRecord",
    "Plugins",
    "catalogue",
    "core_catalogue",
    "hookimpl",
    "load_plugins",
    "plugins",
]

logger = logging.getLogger("seqzoo")

CORE = "seqzoo"
"""The plugin name under which the core registers its own parts."""
MODEL_CARDS = "seqzoo-model-cards"
"""The distribution of the checkpoints that are too large for seqzoo's own package."""
API_VERSION = 1
"""Version of the hook and the interfaces; a plugin states its version as ``seqzoo_api_version``."""
_UNSTATED = 1
"""The API version of a plugin that does not state one."""

OWN = ("seqzoo", MODEL_CARDS)
"""The distributions of this project, in the order in which they are loaded."""

_LONGEST_REASON = 500
"""Characters of the reason why a plugin is broken."""

_loading = threading.local()
"""Its ``plugin`` is the name of the plugin that this thread is loading."""


@dataclass
class PluginRecord:
    """One plugin that was found, and how loading it went.

    Attributes:
        name: the name of its entry point.
        distribution: the installed package that provides it.
        version: the version of the distribution.
        status: ``ok``, ``broken`` or ``disabled``.
        reason: why it is broken or disabled, in one line.
        details: the traceback of a broken one.
        seconds: what its import and its hook took.
        provides: kind and name of everything it registered.
    """

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
    """All plugins, and everything that the working ones registered."""

    catalogue: Catalogue
    records: list[PluginRecord]

    def record(self, name: str) -> PluginRecord:
        """The record of a plugin by its name; raises ``PluginError`` if there is none."""
        for record in self.records:
            if record.name == name:
                return record
        raise PluginError(f"no plugin '{name}'; `seqzoo plugins` shows what is installed")


def _names_in(variable: str) -> set[str] | None:
    text = os.environ.get(variable)
    return None if text is None else {name.strip() for name in text.split(",") if name.strip()}


def _warn_of_absent(disabled: set[str], only: set[str], found: list[str]) -> None:
    """Warn if a variable names a plugin that is not installed; usually the name is misspelt."""
    for variable, names in (("SEQZOO_DISABLE_PLUGINS", disabled), ("SEQZOO_PLUGINS", only)):
        for name in sorted(names.difference(found)):
            logger.warning(
                "%s names the plugin '%s', which is not installed%s",
                variable,
                name,
                nearest(name, found) or "; `seqzoo plugins` shows which ones are",
            )


def _found() -> list[tuple[EntryPoint, str, str]]:
    """Entry points with distribution and version; one that is on the path twice counts once."""
    found: dict[tuple[str, str], tuple[EntryPoint, str, str]] = {}
    # Each reading parses the metadata of the whole distribution, which takes milliseconds.
    stated: dict[int, tuple[str, str]] = {}
    for entry in _entry_points():
        if id(entry.dist) not in stated:
            stated[id(entry.dist)] = _stated(entry)
        distribution, version = stated[id(entry.dist)]
        found.setdefault((entry.name, distribution), (entry, distribution, version))
    # Our own distributions come first, so that no other takes a name that ships with them.
    order = {distribution: number for number, distribution in enumerate(OWN)}
    return [found[key] for key in sorted(found, key=lambda key: (order.get(key[1], len(OWN)), key))]


def _stated(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point."""
    try:
        # An interrupted upgrade leaves metadata without name and version.
        return (entry.dist and entry.dist.name) or "unknown", (
            entry.dist and entry.dist.version
        ) or ""
    except ValueError:  # or metadata that are not UTF-8
        return "unknown", ""


def _entry_points() -> list[EntryPoint]:
    """All entry points of the group; one distribution with a damaged file hides no other."""
    try:
        return list(entry_points(group=GROUP))
    # For damaged files importlib raises exceptions of many kinds, and names no distribution.
    except Exception:
        found: list[EntryPoint] = []
    for distribution in distributions():
        try:
            found += distribution.entry_points.select(group=GROUP)
        except Exception as error:
            logger.warning(
                "the entry points of %s cannot be read (%s), so its plugins are not loaded; "
                "reinstall it",
                distribution.locate_file(getattr(distribution, "_path", "a distribution")),
                error_text(error),
            )
    return found


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
    returned = manager.hook.seqzoo_register(zoo=registrar)
    if returned:  # a generator has not even run
        raise PluginError(
            f"its function seqzoo_register returns {type(returned[0]).__name__}; expected a "
            "function that registers and returns nothing"
        )
    return registrar.staged


def _load(entry: EntryPoint, record: PluginRecord, catalogue: Catalogue) -> None:
    started = time.perf_counter()
    _loading.plugin = record.name
    try:
        if not EntryPoint.pattern.match(entry.value):
            raise PluginError(
                f"its entry point names the module '{entry.value}', which is not a Python name; "
                "a module name has letters, digits and '_', and no '-'"
            )
        # What a plugin prints when it is imported is not part of a command's answer.
        with contextlib.redirect_stdout(sys.stderr):
            specs = _register(entry.load(), record.name)
        catalogue.take(specs)
        record.provides = [f"{kind} {spec.name}" for kind, spec in specs]
    except KeyboardInterrupt:
        logger.warning(
            "interrupted while the plugin '%s' was loaded; SEQZOO_DISABLE_PLUGINS=%s switches it "
            "off",
            record.name,
            record.name,
        )
        raise
    # A plugin is third-party code: any exception, even from sys.exit, is its own failure.
    except BaseException as error:
        _set_aside(record, error_text(error))
        record.details = traceback.format_exc()
    finally:
        _loading.plugin = None
    record.seconds = time.perf_counter() - started


def _set_aside(record: PluginRecord, reason: str) -> None:
    record.status, record.provides = "broken", []
    record.reason = reason[:_LONGEST_REASON]


def _set_aside_incomplete(catalogue: Catalogue, records: list[PluginRecord]) -> None:
    """Mark plugins as broken if their architectures use parts that no working plugin provides.

    Checked once all are loaded, because a part may come from a plugin that is loaded later, and
    repeated, because a plugin that is skipped also takes its own parts away.
    """
    off = [record.name for record in records if record.status == "disabled"]
    hint = f"; switched off: {', '.join(off)}" if off else ""
    incomplete = True
    while incomplete:
        incomplete = False
        for spec in catalogue.architectures:
            missing = catalogue.missing_parts(spec)
            if missing:
                incomplete = True
                record = next(r for r in records if r.name == spec.plugin and r.status == "ok")
                _set_aside(
                    record,
                    f"architecture '{spec.name}' uses the {' and the '.join(missing)}, which no "
                    f"working plugin provides{hint}",
                )
                catalogue.drop(spec.plugin)
                break


def core_catalogue() -> Catalogue:
    """Everything that the core registers, without any plugin."""
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
        first = next((r for r in records[:-1] if r.name == entry.name and r.status == "ok"), None)
        if entry.name in disabled:
            record.status, record.reason = "disabled", "named in SEQZOO_DISABLE_PLUGINS"
        elif only is not None and entry.name not in only:
            record.status, record.reason = "disabled", "not named in SEQZOO_PLUGINS"
        elif first is not None:
            _set_aside(
                record,
                f"distributions '{first.distribution}' and '{distribution}' both have an entry "
                f"point '{entry.name}'; uninstall one",
            )
        else:
            _load(entry, record, catalogue)
    _set_aside_incomplete(catalogue, records)
    broken = [record for record in records if record.status == "broken"]
    if broken and os.environ.get("SEQZOO_STRICT_PLUGINS") == "1":
        reasons = "; ".join(f"{r.name} ({r.distribution} {r.version}): {r.reason}" for r in broken)
        raise PluginError(f"SEQZOO_STRICT_PLUGINS=1 and broken plugins: {reasons}")
    return Plugins(catalogue, records)


def plugins() -> Plugins:
    """All plugins, loaded once in a process.

    Raises:
        PluginError: a plugin asks for them while it is being loaded itself, or as ``load_plugins``.
    """
    plugin = getattr(_loading, "plugin", None)
    if plugin is not None:
        raise PluginError(
            f"the plugin '{plugin}' uses the registry of seqzoo while it is being loaded; call "
            "seqzoo in functions that run later, not at import"
        )
    return _kept_plugins()


@functools.cache
def _kept_plugins() -> Plugins:
    return load_plugins()


def catalogue() -> Catalogue:
    """Everything registered by the core and by the working plugins."""
    return plugins().catalogue
