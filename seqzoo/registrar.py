"""``Registrar``: the ``zoo`` argument of a plugin's hook, which turns its calls into specs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from seqzoo.errors import PluginError
from seqzoo.specs import (
    DEFAULT_OBJECTIVE,
    ArchitectureSpec,
    BackboneSpec,
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    PartSpec,
    PretrainedSpec,
    ProtocolSpec,
    PublishedMetrics,
    Spec,
    SplitSpec,
)

__all__ = ["Registrar"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_TARGET = re.compile(rf"{_MODULE.pattern}:[A-Za-z_]\w*")
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


class Registrar:
    """The ``zoo`` argument of a plugin's hook: collects the plugin's specs before any is added.

    Specs are collected first so that a plugin that fails half-way registers nothing.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self.staged: list[tuple[str, Spec]] = []

    def _string(self, what: str, value: object) -> None:
        if not isinstance(value, str):
            raise PluginError(
                f"plugin '{self._plugin}' gives {value!r} as {what}; expected a string"
            )

    def _target(self, what: str, target: str) -> str:
        if not isinstance(target, str) or not _TARGET.fullmatch(target):
            raise PluginError(
                f"plugin '{self._plugin}' gives {target!r} as {what}; expected a string of the "
                "form 'package.module:Name', so that listing does not import it"
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

    def objective(self, name: str, target: str, *, config: str) -> None:
        """Register a ``seqzoo.objectives.Objective`` and the dataclass of its settings."""
        self._part("objective", name, target, config)

    def backbone(
        self,
        name: str,
        target: str,
        *,
        config: str,
        causal: bool,
        streaming: bool = False,
        uses_time: bool = False,
        uses_query_time: bool = False,
    ) -> None:
        """Register a backbone class, the dataclass of its settings and its capabilities.

        Raises:
            PluginError: a capability is neither True nor False.
        """
        capabilities = {
            "causal": causal,
            "streaming": streaming,
            "uses_time": uses_time,
            "uses_query_time": uses_query_time,
        }
        for what, value in capabilities.items():
            if not isinstance(value, bool):
                raise PluginError(
                    f"plugin '{self._plugin}' gives {value!r} as {what} of backbone '{name}'; "
                    "expected True or False"
                )
        spec = BackboneSpec(
            name,
            self._plugin,
            self._target(f"backbone '{name}'", target),
            self._target(f"config of backbone '{name}'", config),
            **capabilities,
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
        objective: str = DEFAULT_OBJECTIVE,
        baseline: bool = False,
        search: Mapping[str, Any] | None = None,
        from_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a combination of parts.

        Args:
            name: the name of the architecture.
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
            published: metrics that others have published, which cards show next to the measured
                ones: each a mapping with ``data`` and ``protocol`` (registered names), ``source``,
                metrics by name (``hit@10``) and, if they apply to some settings of the model only,
                ``settings``.
            objective: registered name; what the architecture is trained on.
            baseline: whether models are compared with it; it must train in seconds.
            search: what ``seqzoo tune`` searches apart from learning rate and batch size: a range
                ``"0.1..0.6"`` or a list of choices for each setting, such as ``model.dropout``.
            from_data: settings for training that differ from ``defaults`` and ``recipe``: by
                setting a value, or values by a fact about the data (``seqzoo.training.defaults``).

        Raises:
            PluginError: a name is not a string, ``baseline`` is neither True nor False, or an
                entry of ``published`` is incomplete.
        """
        strings = {"embedder": embedder, "backbone": backbone, "head": head, "paper": paper}
        strings |= {"description": description, "objective": objective}
        for what, value in strings.items():
            self._string(f"{what} of architecture '{name}'", value)
        if not isinstance(baseline, bool):
            raise PluginError(
                f"plugin '{self._plugin}' gives {baseline!r} as baseline of architecture "
                f"'{name}'; expected True or False"
            )
        for key in [*(defaults or {}), *(recipe or {}), *(search or {}), *(from_data or {})]:
            self._string(f"a setting of architecture '{name}'", key)
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
            tuple(self._published(name, entry) for entry in published),
            objective,
            baseline,
            dict(search or {}),
            dict(from_data or {}),
        )
        self.staged.append(("architecture", spec))

    def _published(self, name: str, entry: Mapping[str, Any]) -> PublishedMetrics:
        strings = {key: entry.get(key) for key in ("data", "protocol", "source")}
        metrics = {key: value for key, value in entry.items() if "@" in key}
        settings = entry.get("settings", {})
        unknown = entry.keys() - strings.keys() - metrics.keys() - {"settings"}
        if (
            unknown
            or not metrics
            or not all(isinstance(value, str) and value for value in strings.values())
            or not all(isinstance(value, int | float) for value in metrics.values())
            or not isinstance(settings, Mapping)
        ):
            raise PluginError(
                f"plugin '{self._plugin}' registers metrics published for '{name}' as "
                f"{dict(entry)!r}; expected data, protocol and source as strings, metrics such as "
                "'hit@10' as numbers, and settings, if any, as a mapping"
            )
        return PublishedMetrics(
            str(strings["data"]),
            str(strings["protocol"]),
            {key: float(value) for key, value in metrics.items()},
            str(strings["source"]),
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
            if field in ("licence", "citation", "description", "terms"):
                self._string(f"{field} of data set '{name}'", value)
        if fields.get("hub") is not None:
            self._string(f"hub of data set '{name}'", fields["hub"])
        if fields.get("target") is not None:
            self._target(f"data set '{name}'", fields["target"])
        self.staged.append(("data set", DatasetSpec(name, self._plugin, **fields)))

    def split(self, name: str, target: str, *, description: str = "") -> None:
        """Register a split: a dataclass of its settings, a ``seqzoo.data.splits.Splitter``."""
        self._string(f"description of split '{name}'", description)
        spec = SplitSpec(name, self._plugin, self._target(f"split '{name}'", target), description)
        self.staged.append(("split", spec))

    def metric(self, name: str, target: str, *, of: str = "ranks") -> None:
        """Register a metric.

        Args:
            name: the name of the metric; a cutoff follows in results: ``name@10``.
            target: lazy function: of ``ranks``, ``(ranks [U], cutoff) -> values [U]``; of
                ``lists``, ``(lists, cutoff) -> value``, see
                ``seqzoo.evaluation.lists.RecommendedLists``.
            of: ``ranks`` of the held-out items, or ``lists`` of recommended items.

        Raises:
            PluginError: ``of`` is something else.
        """
        if of not in ("ranks", "lists"):
            raise PluginError(
                f"plugin '{self._plugin}' registers the metric '{name}' of {of!r}; expected "
                "'ranks' or 'lists'"
            )
        spec = MetricSpec(name, self._plugin, self._target(f"metric '{name}'", target), of)
        self.staged.append(("metric", spec))

    def protocol(self, name: str, *, description: str = "", **settings: Any) -> None:
        """Register a protocol; the keywords are the fields of ``seqzoo.evaluation.Protocol``."""
        self._string(f"description of protocol '{name}'", description)
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
        self._string(f"help of command '{name}'", help)
        self._string(f"epilog of command '{name}'", epilog)
        spec = CommandSpec(
            name,
            self._plugin,
            self._target(f"command '{name}'", target),
            help,
            epilog,
            several_values,
        )
        self.staged.append(("command", spec))
