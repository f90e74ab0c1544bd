"""The registry: maps names to lazy specs. It knows kinds of components, no particular one.

Specs are data. A target is a string ``"module:attribute"`` that is imported when it is used, so
listing imports neither torch nor model code.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from seqzoo.errors import PluginError, UnknownNameError, nearest
from seqzoo.specs import (
    ArchitectureSpec,
    BackboneSpec,
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    PartSpec,
    PretrainedSpec,
    ProtocolSpec,
    PublishedFigures,
    Spec,
)

__all__ = [
    "Catalogue",
    "Registrar",
    "Registry",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VERSIONED = re.compile(rf"{_NAME.pattern}(@[a-zA-Z0-9][a-zA-Z0-9._-]*)?")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_TARGET = re.compile(rf"{_MODULE.pattern}:[A-Za-z_]\w*")
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


SpecT = TypeVar("SpecT", bound=Spec)


class Registry(Generic[SpecT]):
    """Maps names of one kind to specs. A name belongs to the first plugin that registers it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._added: dict[str, SpecT] = {}
        self._announced: Callable[[], Iterable[SpecT]] | None = None
        self._completing = False
        self._lock = threading.RLock()

    def announce(self, specs: Callable[[], Iterable[SpecT]]) -> None:
        """Add what a function returns once the registry is used; it may use the registry itself."""
        self._announced = specs

    @property
    def _specs(self) -> dict[str, SpecT]:
        if self._announced is not None:
            with self._lock:
                if self._announced is not None and not self._completing:
                    self._completing = True
                    try:
                        specs = list(self._announced())
                        for spec in specs:
                            self.check(spec)
                        self._added.update({spec.name: spec for spec in specs})
                        self._announced = None
                    finally:
                        self._completing = False
        return self._added

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
        self._added[spec.name] = spec

    @contextmanager
    def lend(self, spec: SpecT) -> Iterator[None]:
        """Add a spec for as long as the block runs; raises as ``check`` does."""
        self.add(spec)
        try:
            yield
        finally:
            del self._added[spec.name]

    def drop(self, plugin: str) -> None:
        """Remove everything that a plugin registered."""
        self._added = {name: spec for name, spec in self._added.items() if spec.plugin != plugin}

    def check(self, spec: SpecT) -> None:
        """Check that a spec can be added.

        Raises:
            PluginError: the name is malformed or taken; names both plugins.
        """
        pattern = _VERSIONED if isinstance(spec, PretrainedSpec) else _NAME
        if not isinstance(spec.name, str) or not pattern.fullmatch(spec.name):
            raise PluginError(
                f"plugin '{spec.plugin}' registers the {self.kind} name {spec.name!r}; a name is "
                "lower-case letters, digits, '.', '_' and '-'"
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
        self.architectures: Registry[ArchitectureSpec] = Registry("architecture")
        self.pretrained: Registry[PretrainedSpec] = Registry("checkpoint")
        self.datasets: Registry[DatasetSpec] = Registry("data set")
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
        )
        return [f"{registry.kind} '{name}'" for registry, name in parts if name not in registry]


class Registrar:
    """The ``zoo`` argument of a plugin's hook: collects the plugin's specs before any is added.

    Specs are collected first so that a plugin that fails half-way registers nothing.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self.staged: list[tuple[str, Spec]] = []

    def _text(self, what: str, value: object) -> None:
        if not isinstance(value, str):
            raise PluginError(f"plugin '{self._plugin}' gives {value!r} as {what}; expected text")

    def _target(self, what: str, target: str) -> str:
        if not isinstance(target, str) or not _TARGET.fullmatch(target):
            raise PluginError(
                f"plugin '{self._plugin}' gives {target!r} as {what}; expected text of the form "
                "'package.module:Name', so that listing does not import it"
            )
        return target

    def _part(self, kind: str, name: str, target: str, config: str) -> None:
        spec = PartSpec(
            name,
            self._plugin,
            self._target(f"{kind} '{name}'", target),
            self._target(f"config of {kind} '{name}'", config),
        )
        self.staged.append((kind, spec))

    def embedder(self, name: str, target: str, *, config: str) -> None:
        """Register an embedder class and the dataclass of its settings."""
        self._part("embedder", name, target, config)

    def head(self, name: str, target: str, *, config: str) -> None:
        """Register a head class and the dataclass of its settings."""
        self._part("head", name, target, config)

    def loss(self, name: str, target: str, *, config: str) -> None:
        """Register a loss class and the dataclass of its settings."""
        self._part("loss", name, target, config)

    def backbone(
        self,
        name: str,
        target: str,
        *,
        config: str,
        causal: bool,
        streaming: bool = False,
        uses_time: bool = False,
    ) -> None:
        """Register a backbone class, the dataclass of its settings and its capabilities."""
        spec = BackboneSpec(
            name,
            self._plugin,
            self._target(f"backbone '{name}'", target),
            self._target(f"config of backbone '{name}'", config),
            causal=causal,
            streaming=streaming,
            uses_time=uses_time,
        )
        self.staged.append(("backbone", spec))

    def architecture(
        self,
        name: str,
        *,
        embedder: str,
        backbone: str,
        head: str,
        defaults: Mapping[str, Any] | None = None,
        recipe: Mapping[str, Any] | None = None,
        paper: str = "",
        description: str = "",
        importer: str | None = None,
        migration: str | None = None,
        published: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Register a combination of three parts.

        Args:
            name: of the architecture.
            embedder: registered name.
            backbone: registered name.
            head: registered name.
            defaults: settings of the model that differ from those of its parts.
            recipe: default training settings of the architecture.
            paper: its source.
            description: the architecture in one line.
            importer: lazy function from the tensors of other implementations to
                ``seqzoo.public_weights.PublicWeights``, for ``seqzoo import``.
            migration: lazy function ``(config, weights, version) -> (config, weights)`` for
                checkpoints that another version of the plugin has saved: settings by name, tensors
                by name, and that version.
            published: metrics that others have published, which cards show beside the measured
                ones: each a mapping with ``data`` and ``protocol`` (registered names), ``source``,
                metrics by name (``hit@10``) and, if they apply to some settings of the model only,
                ``settings``.

        Raises:
            PluginError: a name is not text, or an entry of ``published`` is incomplete.
        """
        texts = {"embedder": embedder, "backbone": backbone, "head": head, "paper": paper}
        for what, text in {**texts, "description": description}.items():
            self._text(f"{what} of architecture '{name}'", text)
        spec = ArchitectureSpec(
            name,
            self._plugin,
            embedder,
            backbone,
            head,
            dict(defaults or {}),
            dict(recipe or {}),
            paper,
            description,
            None if importer is None else self._target(f"importer of '{name}'", importer),
            None if migration is None else self._target(f"migration of '{name}'", migration),
            tuple(self._figures(name, entry) for entry in published),
        )
        self.staged.append(("architecture", spec))

    def _figures(self, name: str, entry: Mapping[str, Any]) -> PublishedFigures:
        texts = {key: entry.get(key) for key in ("data", "protocol", "source")}
        metrics = {key: value for key, value in entry.items() if "@" in key}
        settings = entry.get("settings", {})
        unknown = entry.keys() - texts.keys() - metrics.keys() - {"settings"}
        if (
            unknown
            or not metrics
            or not all(isinstance(text, str) and text for text in texts.values())
            or not all(isinstance(value, int | float) for value in metrics.values())
            or not isinstance(settings, Mapping)
        ):
            raise PluginError(
                f"plugin '{self._plugin}' registers metrics published for '{name}' as "
                f"{dict(entry)!r}; expected data, protocol and source as text, metrics such as "
                "'hit@10' as numbers, and settings, if any, as a mapping"
            )
        return PublishedFigures(
            str(texts["data"]),
            str(texts["protocol"]),
            {key: float(value) for key, value in metrics.items()},
            str(texts["source"]),
            dict(settings),
        )

    def pretrained(
        self,
        name: str,
        *,
        repo: str | None = None,
        revision: str | None = None,
        sha256: str | None = None,
        package: str | None = None,
    ) -> None:
        """Register trained weights: on the Hub at a commit, or shipped in a package, or both.

        Args:
            name: ``name``, or ``name@version`` for other weights than the plain name means.
            repo: ``org/name`` on the Hub.
            revision: commit of ``repo``, 40 hex digits; a branch or a tag could change its meaning.
            sha256: of ``config.json``, which records every other file.
            package: import name of the package that ships ``model_cards/<name>``.

        Raises:
            PluginError: neither source is complete.
        """
        pinned = (
            isinstance(revision, str)
            and re.fullmatch("[0-9a-f]{40}", revision)
            and (sha256 is None or re.fullmatch("[0-9a-f]{64}", sha256))
        )
        named = isinstance(repo, str) and _REPO.fullmatch(repo)
        shipped = isinstance(package, str) and _MODULE.fullmatch(package)
        if (
            (repo is None and package is None)
            or (repo is not None and not (named and pinned))
            or (package is not None and not shipped)
        ):
            raise PluginError(
                f"plugin '{self._plugin}' registers the checkpoint '{name}' with repo={repo!r}, "
                f"revision={revision!r}, sha256={sha256!r}, package={package!r}; expected the "
                "import name of a package that ships it, or a repo 'org/name' with its commit (40 "
                "hex digits) and the sha256 of its config.json (64 hex digits): `seqzoo push` "
                "prints the line"
            )
        spec = PretrainedSpec(name, self._plugin, repo, revision, sha256, package)
        self.staged.append(("checkpoint", spec))

    def dataset(self, name: str, **fields: Any) -> None:
        """Register a data set; the keywords are the fields of ``DatasetSpec``.

        Raises:
            PluginError: a field has the wrong type.
        """
        for field, value in fields.items():
            if field in ("licence", "citation", "description"):
                self._text(f"{field} of data set '{name}'", value)
        if fields.get("target") is not None:
            self._target(f"data set '{name}'", fields["target"])
        self.staged.append(("data set", DatasetSpec(name, self._plugin, **fields)))

    def metric(self, name: str, target: str) -> None:
        """Register a metric function ``(ranks [U], cutoff) -> values [U]``."""
        spec = MetricSpec(name, self._plugin, self._target(f"metric '{name}'", target))
        self.staged.append(("metric", spec))

    def protocol(self, name: str, *, description: str = "", **settings: Any) -> None:
        """Register a protocol; the keywords are the fields of ``seqzoo.evaluation.Protocol``."""
        self._text(f"description of protocol '{name}'", description)
        self.staged.append(("protocol", ProtocolSpec(name, self._plugin, settings, description)))

    def command(
        self,
        name: str,
        target: str,
        *,
        help: str = "",  # noqa: A002 typer's word
        epilog: str = "",
        several_values: bool = False,
    ) -> None:
        """Register a verb of the command line.

        Args:
            name: the verb, as in ``seqzoo NAME``.
            target: lazy function with typer's annotations, or a lazy ``typer.Typer``.
            help: the verb in one line, for ``seqzoo --help``, which does not import the target.
            epilog: the end of the verb's own help, such as an example.
            several_values: whether an option that can be repeated takes several values at once:
                ``--history 1 2 3`` for ``--history 1 --history 2 --history 3``.
        """
        self._text(f"help of command '{name}'", help)
        self._text(f"epilog of command '{name}'", epilog)
        spec = CommandSpec(
            name,
            self._plugin,
            self._target(f"command '{name}'", target),
            help,
            epilog,
            several_values,
        )
        self.staged.append(("command", spec))
