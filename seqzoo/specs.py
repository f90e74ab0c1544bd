"""What can be registered, as data. A target is ``"module:attribute"``, imported when it is used."""

import contextlib
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqzoo.errors import PluginError, error_text

__all__ = [
    "DEFAULT_OBJECTIVE",
    "ArchitectureSpec",
    "BackboneSpec",
    "CommandSpec",
    "DatasetSpec",
    "MetricSpec",
    "PartSpec",
    "PretrainedSpec",
    "ProtocolSpec",
    "PublishedMetrics",
    "Spec",
    "SplitSpec",
    "TargetSpec",
    "resolve",
]


def resolve(target: str, plugin: str) -> Any:
    """Import ``"module:attribute"`` and return the attribute.

    Raises:
        PluginError: the module or the attribute is not there; names the plugin.
    """
    module_name, _, attribute = target.partition(":")
    try:
        # What a plugin prints when it is imported is not part of a command's answer.
        with contextlib.redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module_name), attribute)
    except KeyboardInterrupt:
        raise
    # The module is third-party code: any exception, even from sys.exit, is its failure.
    except BaseException as error:
        raise PluginError(
            f"plugin '{plugin}' names {target}, which cannot be imported: {error_text(error)}"
        ) from error


@dataclass(frozen=True)
class Spec:
    """Anything registered: its name and the plugin that registered it."""

    name: str
    plugin: str


@dataclass(frozen=True)
class TargetSpec(Spec):
    """Code that is imported when it is used."""

    target: str

    def load(self) -> Any:
        """The class or the function that the target names."""
        return resolve(self.target, self.plugin)


@dataclass(frozen=True)
class PartSpec(TargetSpec):
    """An embedder, backbone, head, loss or objective: a lazy class and its lazy config schema."""

    config: str

    def load_config(self) -> Any:
        """The dataclass that describes the part's settings."""
        return resolve(self.config, self.plugin)


@dataclass(frozen=True)
class BackboneSpec(PartSpec):
    """A backbone with the capabilities of its default configuration."""

    causal: bool = True
    streaming: bool = False
    uses_time: bool = False
    uses_query_time: bool = False


@dataclass(frozen=True)
class PublishedMetrics:
    """Metrics that others have published for an architecture, shown next to our own.

    ``data`` and ``protocol`` are registered names: metrics are comparable only if both are the
    same. ``settings`` are the model settings that the metrics require.
    """

    data: str
    protocol: str
    metrics: Mapping[str, float]
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)


DEFAULT_OBJECTIVE = "next-item"
"""The objective of architectures that name none, and of checkpoints that store none."""


@dataclass(frozen=True)
class ArchitectureSpec(Spec):
    """A named choice of embedder, backbone, head and objective with default settings.

    A ``baseline`` is one that models are compared with: it trains in seconds.
    """

    embedder: str
    backbone: str
    head: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    description: str = ""
    importer: str | None = None
    migration: str | None = None
    published: tuple[PublishedMetrics, ...] = ()
    objective: str = DEFAULT_OBJECTIVE
    baseline: bool = False
    search: Mapping[str, Any] = field(default_factory=dict)
    from_data: Mapping[str, Any] = field(default_factory=dict)

    def published_for(self, settings: Mapping[str, Any]) -> list[PublishedMetrics]:
        """The published metrics that apply to a model with these settings."""
        return [
            each
            for each in self.published
            if all(settings.get(key) == value for key, value in each.settings.items())
        ]

    def load_migration(self) -> Any:
        """The function that migrates older checkpoints; None without one."""
        return None if self.migration is None else resolve(self.migration, self.plugin)

    def load_importer(self) -> Any:
        """The function that converts weights of other implementations; None without one."""
        return None if self.importer is None else resolve(self.importer, self.plugin)


@dataclass(frozen=True)
class PretrainedSpec(Spec):
    """Where trained weights are: a Hub repository at a commit, or a folder shipped in a package.

    ``package`` is the import name of a package that ships the folder ``model_cards/<name>``;
    ``sha256`` is that of the checkpoint's ``config.json``.
    """

    repo: str | None = None
    revision: str | None = None
    sha256: str | None = None
    package: str | None = None


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """A public data set at its publisher's URL, or a generator of one (``target``).

    ``terms`` is the web page with the publisher's terms of use. ``hub`` is the id (``org/name``) of
    these data on the Hugging Face Hub, if they are a data set there.
    """

    url: str | None = None
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    licence: str = ""
    citation: str = ""
    counts: tuple[int, int, int] | None = None
    target: str | None = None
    description: str = ""
    terms: str = ""
    hub: str | None = None

    @property
    def hub_id(self) -> str:
        """The name of these data in a card: the id on the Hub, or else the registered name."""
        return self.hub or self.name


@dataclass(frozen=True)
class MetricSpec(TargetSpec):
    """A metric: a lazy function.

    Attributes:
        of: ``ranks``: the function is ``(ranks [U], cutoff) -> values [U]``; ``lists``: it is
            ``(lists, cutoff) -> value`` of the recommended lists of all users.
    """

    of: str = "ranks"


@dataclass(frozen=True)
class SplitSpec(TargetSpec):
    """A split: a lazy dataclass of its settings, a subclass of ``seqzoo.data.splits.Splitter``."""

    description: str = ""


@dataclass(frozen=True)
class ProtocolSpec(Spec):
    """How metrics are measured, as data: the fields of ``seqzoo.evaluation.Protocol``."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True)
class CommandSpec(TargetSpec):
    """A verb of the command line: a lazy function for typer, or a lazy ``typer.Typer``.

    Attributes:
        target: ``"module:attribute"``, imported when the verb runs or shows its own help.
        help: the verb in one line, for the list of verbs.
        epilog: the end of the verb's own help.
        several_values: whether repeatable options take several values at once.
    """

    help: str = ""
    epilog: str = ""
    several_values: bool = False
