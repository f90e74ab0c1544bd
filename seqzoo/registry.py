"""The registry: maps names to lazy specs. It knows kinds of components, no particular one.

Specs are data. A target is a string ``"module:attribute"`` that is imported when it is used, so
listing imports neither torch nor model code.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from seqzoo.errors import PluginError, UnknownNameError, nearest
from seqzoo.registrar import Registrar as Registrar
from seqzoo.specs import (
    ArchitectureSpec,
    BackboneSpec,
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    PartSpec,
    PretrainedSpec,
    ProtocolSpec,
    Spec,
    SplitSpec,
)

__all__ = [
    "Catalogue",
    "Registrar",
    "Registry",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_VERSIONED = re.compile(rf"{_NAME.pattern}(@[a-zA-Z0-9][a-zA-Z0-9._-]*)?")

SpecT = TypeVar("SpecT", bound=Spec)


class Registry(Generic[SpecT]):
    """Maps names of one kind to specs. A name belongs to the first plugin that registers it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._specs: dict[str, SpecT] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[SpecT]:
        return iter(sorted(self._specs.values(), key=lambda spec: spec.name))

    def __len__(self) -> int:
        return len(self._specs)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._specs)

    def in_order(self) -> list[SpecT]:
        """All specs in the order of their registration: the core's own come first."""
        return list(self._specs.values())

    def get(self, name: str) -> SpecT:
        """The spec of a name.

        Raises:
            UnknownNameError: nothing of this kind has the name; the message shows the nearest one.
        """
        if name in self._specs:
            return self._specs[name]
        known = self.names()
        raise UnknownNameError(
            f"unknown {self.kind} '{name}'{nearest(name, known) or '.'} "
            f"Known: {', '.join(known) if known else 'none'}. "
            "A plugin may provide it: `seqzoo plugins` shows what is installed."
        )

    def add(self, spec: SpecT) -> None:
        """Add a spec; raises ``PluginError`` as ``check`` does."""
        self.check(spec)
        self._specs[spec.name] = spec

    @contextmanager
    def lend(self, spec: SpecT) -> Iterator[None]:
        """Add a spec for as long as the block runs; raises as ``check`` does."""
        self.add(spec)
        try:
            yield
        finally:
            del self._specs[spec.name]

    def drop(self, plugin: str) -> None:
        """Remove everything that a plugin registered."""
        self._specs = {name: spec for name, spec in self._specs.items() if spec.plugin != plugin}

    def check(self, spec: SpecT) -> None:
        """Check that a spec can be added.

        Raises:
            PluginError: the name is malformed or taken; names both plugins.
        """
        pattern = _VERSIONED if isinstance(spec, PretrainedSpec) else _NAME
        if not isinstance(spec.name, str) or not pattern.fullmatch(spec.name):
            raise PluginError(
                f"plugin '{spec.plugin}' registers the {self.kind} name {spec.name!r}; a name is "
                "at most 100 lower-case letters, digits, '.', '_' and '-'"
            )
        if spec.name in self._specs:
            owner = self._specs[spec.name].plugin
            raise PluginError(
                f"plugin '{spec.plugin}' registers the {self.kind} '{spec.name}', which plugin "
                f"'{owner}' already provides; rename one or switch one off with "
                "SEQZOO_DISABLE_PLUGINS"
            )


class Catalogue:
    """One registry for each kind of component that a plugin can provide."""

    def __init__(self) -> None:
        self.embedders: Registry[PartSpec] = Registry("embedder")
        self.backbones: Registry[BackboneSpec] = Registry("backbone")
        self.heads: Registry[PartSpec] = Registry("head")
        self.losses: Registry[PartSpec] = Registry("loss")
        self.objectives: Registry[PartSpec] = Registry("objective")
        self.architectures: Registry[ArchitectureSpec] = Registry("architecture")
        self.pretrained: Registry[PretrainedSpec] = Registry("checkpoint")
        self.datasets: Registry[DatasetSpec] = Registry("data set")
        self.splits: Registry[SplitSpec] = Registry("split")
        self.metrics: Registry[MetricSpec] = Registry("metric")
        self.protocols: Registry[ProtocolSpec] = Registry("protocol")
        self.commands: Registry[CommandSpec] = Registry("command")

    def registries(self) -> list[Registry[Any]]:
        """All registries, in the order they are shown."""
        return list(vars(self).values())

    def take(self, specs: list[tuple[str, Spec]]) -> None:
        """Add all specs of a plugin, or none of them.

        Raises:
            PluginError: a name is malformed, taken, or registered twice.
        """
        by_kind = {registry.kind: registry for registry in self.registries()}
        seen: set[tuple[str, str]] = set()
        for kind, spec in specs:
            by_kind[kind].check(spec)
            if (kind, spec.name) in seen:
                raise PluginError(
                    f"plugin '{spec.plugin}' registers the {kind} '{spec.name}' twice"
                )
            seen.add((kind, spec.name))
        for kind, spec in specs:
            by_kind[kind].add(spec)

    def drop(self, plugin: str) -> None:
        """Remove everything that a plugin registered."""
        for registry in self.registries():
            registry.drop(plugin)

    def missing_parts(self, architecture: ArchitectureSpec) -> list[str]:
        """The parts of an architecture that are not registered, such as ``backbone 'linrec'``."""
        parts = (
            (self.embedders, architecture.embedder),
            (self.backbones, architecture.backbone),
            (self.heads, architecture.head),
            (self.objectives, architecture.objective),
        )
        return [f"{registry.kind} '{name}'" for registry, name in parts if name not in registry]
