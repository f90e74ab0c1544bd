"""From names to models: list them, load trained ones, create fresh ones.

Listing reads manifests only; torch is imported when a model is made.
"""

import fnmatch
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqzoo.checkpoint.find import bundled_folder, find, open_checkpoint
from seqzoo.checkpoint.hub.address import repository_address
from seqzoo.checkpoint.manifest import (
    CARD,
    LARGEST,
    WEIGHTS,
    Manifest,
    read_manifest,
    read_metrics,
    read_recipe,
    read_vocabulary,
    sized,
)
from seqzoo.checkpoint.pins import known_checkpoints, pin_of
from seqzoo.errors import CheckpointError
from seqzoo.plugins import catalogue
from seqzoo.specs import DEFAULT_OBJECTIVE, ArchitectureSpec, PretrainedSpec
from seqzoo.storage.atomic import locate
from seqzoo.storage.integrity import read_bytes
from seqzoo.storage.safetensors_header import count_parameters
from seqzoo.validation import name_of, whole_number

if TYPE_CHECKING:
    from seqzoo.checkpoint.hub.push import Pushed
    from seqzoo.model.sequence_model import SequenceModel

__all__ = [
    "ModelInfo",
    "create",
    "info",
    "list_models",
    "load",
    "push",
]

logger = logging.getLogger("seqzoo")

_MOST_ITEMS = 2**31 - 2
"""Item indices have 32 bits."""


@dataclass(frozen=True)
class ModelInfo:
    """Summary of an architecture or a checkpoint, made without building a model.

    Attributes:
        name: registered name, or the folder as given.
        kind: ``architecture`` or ``checkpoint``.
        architecture: name of the architecture.
        plugin: who provides it.
        bundled: whether an installed package ships the checkpoint.
        parameters: number of parameters in the weights; None for an architecture.
        bytes: size of the checkpoint; None for an architecture.
        data: name of the data it was trained on.
        metrics: stored metrics by protocol.
        claims: capabilities of the backbone: causal, streaming, uses_time.
        objective: what it is trained on.
        paper: where the architecture was published.
        description: the architecture in one line.
    """

    name: str
    kind: str
    architecture: str
    plugin: str
    bundled: bool = False
    parameters: int | None = None
    bytes: int | None = None
    data: str | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    claims: dict[str, bool] = field(default_factory=dict)
    objective: str = DEFAULT_OBJECTIVE
    paper: str = ""
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def list_models(pattern: str = "*", *, pretrained: bool | None = None) -> list[ModelInfo]:
    """Architectures and checkpoints whose names match a pattern, architectures first.

    A checkpoint is listed if it can be loaded: it is installed or on the Hub, and its architecture
    is registered.

    Args:
        pattern: shell wildcards, ``mamba*`` for example.
        pretrained: only checkpoints (True), only architectures (False), or both (None).
    """
    pattern = name_of("a pattern of names", pattern)
    found = []
    if pretrained is not True:
        found += [_of_architecture(spec) for spec in catalogue().architectures]
    if pretrained is not False:
        found += filter(None, map(_of_pretrained, known_checkpoints()))
    return [info for info in found if fnmatch.fnmatchcase(info.name, pattern)]


def info(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything known about a model: summary, config, recipe, card and source.

    Raises:
        UnknownNameError: no model has the name.
        CheckpointError: the checkpoint is damaged.
    """
    text = name_of("a model's name or folder", name)
    everything = catalogue()
    if text in everything.architectures and not isinstance(name, Path):
        # Settings have their schema in the plugin's module, which listing does not import.
        from seqzoo.config import model_config

        spec = everything.architectures.get(text)
        return {
            **_of_architecture(spec).to_json(),
            "config": model_config(spec, {}, everything),
            "recipe": {"train": dict(spec.recipe)},
            "card": "",
            "source": f"plugin '{spec.plugin}'",
            "sha256": None,
        }
    manifest = read_manifest(find(name))
    card = ""
    if (manifest.folder / CARD).exists():
        found = read_bytes(locate(manifest.folder, CARD), LARGEST[CARD])
        card = found.decode("utf-8", "replace")
    vocabulary = read_vocabulary(manifest)
    known = known_checkpoints()
    is_name = text in known and not isinstance(name, Path)
    bundled = is_name and bundled_folder(known.get(text)) is not None
    measured, recipe = read_metrics(manifest), read_recipe(manifest)
    return {
        **_of_manifest(text, manifest, measured, recipe, bundled=bundled).to_json(),
        "config": manifest.config,
        "recipe": recipe,
        "card": card,
        "source": str(manifest.folder),
        "sha256": manifest.sha256,
        "items": len(vocabulary),
        "examples": list(vocabulary.items[:3]),
        "measured": dict(measured),
        "created_with": manifest.created_with,
    }


def load(name: str | os.PathLike[str], *, device: str = "cpu") -> "SequenceModel":
    """Load a trained model, ready to recommend.

    Args:
        name: a registered name, a path that looks like one (``./folder``, ``runs/mine``), or an
            address on the Hub (``hf://org/name``, ``hf://org/name@revision``).
        device: device of the weights, for example ``cpu`` or ``cuda``.

    Raises:
        UnknownNameError: no model has the name; the message shows the nearest one.
        CheckpointError: the checkpoint is damaged, or its plugin is missing.
    """
    from seqzoo.model.sequence_model import SequenceModel

    return SequenceModel.from_pretrained(name, device)


def push(
    model: "SequenceModel | str | os.PathLike[str]",
    repo: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
) -> "Pushed":
    """Publish a model on the Hub, in one commit; without changes, nothing is committed.

    Args:
        model: a model, or the name or folder of a checkpoint.
        repo: ``org/name``; created if it does not exist.
        private: whether a new repository is private; None for the Hub's default.
        revision: branch to commit to; None for the main branch.
        create_pr: propose the commit as a pull request.
        tag: a name for the commit.
        dry_run: only report what would be done.

    Raises:
        CheckpointError: the checkpoint is damaged.
        HubError: the Hub cannot be reached or refuses.
        UsageError: the repository's name, the branch or the tag is invalid.
    """
    from seqzoo.checkpoint.hub.push import push_checkpoint
    from seqzoo.model.save import checkpoint_of
    from seqzoo.model.sequence_model import SequenceModel

    address = repository_address(repo, revision)
    if isinstance(model, SequenceModel):
        checkpoint = checkpoint_of(model, address.name)
    else:
        checkpoint = open_checkpoint(model, keep=True)
        # A checkpoint that does not load here would not load anywhere else.
        SequenceModel.from_checkpoint(checkpoint)
    return push_checkpoint(
        checkpoint, address, private=private, create_pr=create_pr, tag=tag, dry_run=dry_run
    )


def create(architecture: str, *, num_items: int, **settings: Any) -> "SequenceModel":
    """Create a model with random weights from torch's global generator; its items are 1 to V.

    Args:
        architecture: registered name.
        num_items: size V of the catalogue.
        settings: settings that differ from the architecture's defaults, e.g. ``hidden_size=64``.

    Raises:
        UnknownNameError: no architecture has the name.
        ConfigError: a setting is unknown or has the wrong type.
    """
    from seqzoo.data.vocabulary import Vocabulary
    from seqzoo.model.sequence_model import SequenceModel

    num_items = whole_number("num_items", num_items, 1, _MOST_ITEMS)
    items = tuple(str(item) for item in range(1, num_items + 1))
    return SequenceModel.build(architecture, settings, Vocabulary(items))


def _of_architecture(spec: ArchitectureSpec) -> ModelInfo:
    backbone = catalogue().backbones.get(spec.backbone)
    return ModelInfo(
        spec.name,
        "architecture",
        spec.name,
        spec.plugin,
        claims={
            "causal": backbone.causal,
            "streaming": backbone.streaming,
            "uses_time": backbone.uses_time,
            "uses_query_time": backbone.uses_query_time,
        },
        objective=spec.objective,
        paper=spec.paper,
        description=spec.description,
    )


def _of_pretrained(spec: PretrainedSpec) -> ModelInfo | None:
    """The summary of a registered checkpoint; None if it cannot be loaded here."""
    folder = bundled_folder(spec)
    if folder is not None:
        try:
            manifest = read_manifest(folder)
            measured = read_metrics(manifest)
            # Reading YAML takes longer than all else here, so only if nothing was measured.
            recipe = {} if measured else read_recipe(manifest)
            info = _of_manifest(spec.name, manifest, measured, recipe, bundled=True)
            return info if info.architecture in catalogue().architectures else None
        except CheckpointError as error:
            # One damaged folder must not hide all others; loading it reports the error.
            logger.warning("%s; '%s' is not listed", error, spec.name)
            return None
    if pin_of(spec) is None:
        return None
    return ModelInfo(spec.name, "checkpoint", "", spec.plugin)


def _of_manifest(
    name: str,
    manifest: Manifest,
    measured: Mapping[str, Any],
    recipe: Mapping[str, Any],
    *,
    bundled: bool,
) -> ModelInfo:
    sources = [entry.get("data", {}) for entry in measured.values()]
    data = next((source["name"] for source in sources if "name" in source), None)
    if data is None:
        data = recipe.get("data", {}).get("source")
    architectures = catalogue().architectures
    known = manifest.architecture in architectures
    template = _of_architecture(architectures.get(manifest.architecture)) if known else None
    return ModelInfo(
        name,
        "checkpoint",
        manifest.architecture,
        manifest.plugin["name"],
        bundled=bundled,
        parameters=count_parameters(sized(manifest, WEIGHTS), manifest.files[WEIGHTS]["size"]),
        bytes=manifest.size,
        data=data,
        metrics={protocol: dict(entry["metrics"]) for protocol, entry in measured.items()},
        claims=template.claims if template else {},
        objective=manifest.parts.get("objective", DEFAULT_OBJECTIVE),
        paper=template.paper if template else "",
        description=template.description if template else "",
    )
