"""Names to models: list what there is, load what is trained, create what is fresh.

Listing reads manifests only; torch is imported when a model is made.
"""

import fnmatch
import importlib.util
import logging
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqzoo.checkpoint.atomic import locate
from seqzoo.checkpoint.header import count_parameters
from seqzoo.checkpoint.hub.address import SCHEME, HubAddress, parse_address
from seqzoo.checkpoint.integrity import read_bytes
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    LARGEST,
    Manifest,
    parse_manifest,
    read_manifest,
    read_metrics,
    read_recipe,
    read_vocabulary,
)
from seqzoo.errors import CheckpointError, UnknownNameError, nearest
from seqzoo.inputs import name_of, whole_number
from seqzoo.plugins import catalogue, plugins
from seqzoo.specs import ArchitectureSpec, PretrainedSpec

if TYPE_CHECKING:
    from seqzoo.checkpoint.hub.push import Pushed
    from seqzoo.model import SequenceModel

logger = logging.getLogger("seqzoo")

_MOST_ITEMS = 2**31 - 2
"""Item indices have 32 bits."""


@dataclass(frozen=True)
class ModelInfo:
    """What can be known of an architecture or a checkpoint without building it.

    Attributes:
        name: registered name, or the folder as it was given.
        kind: ``architecture`` or ``checkpoint``.
        architecture: name of the architecture.
        plugin: who provides it.
        bundled: whether the checkpoint is on this machine with the package.
        parameters: number of trained numbers; None for an architecture.
        bytes: size of the checkpoint; None for an architecture.
        data: name of the data it was trained on.
        metrics: figures by protocol.
        claims: what the backbone claims: causal, streaming, uses_time.
        paper: where the architecture comes from.
        description: the architecture in a line.
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
    paper: str = ""
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def list_models(pattern: str = "*", *, pretrained: bool | None = None) -> list[ModelInfo]:
    """Architectures and checkpoints whose names match a pattern, architectures first.

    Args:
        pattern: shell wildcards, ``mamba*`` for example.
        pretrained: only checkpoints (True), only architectures (False), or both (None).
    """
    pattern = name_of("a pattern of names", pattern)
    everything = catalogue()
    found = []
    if pretrained is not True:
        found += [_of_architecture(spec) for spec in everything.architectures]
    if pretrained is not False:
        found += [_of_pretrained(spec) for spec in everything.pretrained]
    return [info for info in found if fnmatch.fnmatchcase(info.name, pattern)]


def info(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything that is known of a model: its listing, config, recipe, card and source.

    Raises:
        UnknownNameError: nothing has the name.
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
    return {
        **_of_manifest(text, manifest, bundled=text in everything.pretrained).to_json(),
        "config": manifest.config,
        "recipe": read_recipe(manifest),
        "card": card,
        "source": str(manifest.folder),
        "sha256": manifest.sha256,
        "items": len(vocabulary),
        "examples": list(vocabulary.items[:3]),
        "measured": dict(read_metrics(manifest)),
        "created_with": manifest.created_with,
    }


def load(name: str | os.PathLike[str], *, device: str = "cpu") -> "SequenceModel":
    """A trained model, ready to recommend.

    Args:
        name: a registered name, a path that looks like one (``./folder``, ``runs/mine``), or an
            address on the Hub (``hf://org/name``, ``hf://org/name@revision``).
        device: where the weights go, ``cpu`` or ``cuda`` for example.

    Raises:
        UnknownNameError: nothing has the name; shows the nearest one.
        CheckpointError: the checkpoint is damaged, or its plugin is missing.
    """
    from seqzoo.checkpoint.checkpoint import load_checkpoint

    return load_checkpoint(find(name), device=device)


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
    """Publish a model on the Hub, in one commit; nothing is committed where nothing has changed.

    Args:
        model: a model, or the name or folder of a checkpoint.
        repo: ``org/name``; made where it is missing.
        private: whether a new repository is private; the Hub's own default where None.
        revision: branch to commit to; the main one where None.
        create_pr: propose the commit as a pull request.
        tag: a name for the commit.
        dry_run: only say what would be done.

    Raises:
        CheckpointError: the checkpoint is damaged.
        HubError: the Hub cannot be reached or refuses.
        UsageError: the repository's name, the branch or the tag cannot be taken.
    """
    from seqzoo.checkpoint.hub.push import push_checkpoint
    from seqzoo.model import SequenceModel

    base = repo if repo.startswith(SCHEME) else SCHEME + repo
    address = parse_address(f"{base}@{revision}" if revision is not None else base)
    with tempfile.TemporaryDirectory() as temporary:
        if isinstance(model, SequenceModel):
            folder = Path(temporary) / address.repo.partition("/")[2]
            model.save_pretrained(folder)
        else:
            folder = find(model)
        return push_checkpoint(
            folder, address, private=private, create_pr=create_pr, tag=tag, dry_run=dry_run
        )


def create(architecture: str, *, num_items: int, **settings: Any) -> "SequenceModel":
    """A model with fresh weights, drawn from torch's global generator; its items are 1 to V.

    Args:
        architecture: registered name.
        num_items: size V of the catalogue.
        settings: what differs from the architecture's defaults, ``hidden_size=64`` for example.

    Raises:
        UnknownNameError: no architecture has the name.
        ConfigError: a setting is unknown or has the wrong type.
    """
    from seqzoo.data.vocabulary import Vocabulary
    from seqzoo.model import build_model

    num_items = whole_number("num_items", num_items, 1, _MOST_ITEMS)
    items = tuple(str(item) for item in range(1, num_items + 1))
    return build_model(architecture, settings, Vocabulary(items))


def find(name: str | os.PathLike[str]) -> Path:
    """The checkpoint folder of a name or a path.

    A bare name is only ever a registered name, so a folder that happens to be called like one never
    changes what is loaded; a ``Path`` is only ever a folder.

    A registered checkpoint is taken from the package that ships it, else from the Hub's cache at
    the registered commit, else from the Hub at that commit.

    Raises:
        UnknownNameError: nothing has the name.
        CheckpointError: what the Hub has is damaged or not what was registered.
        HubError: a checkpoint has to be fetched and cannot be.
    """
    if isinstance(name, Path):
        return name.expanduser()
    name = name_of("a model's name or folder", name)
    if name.startswith(SCHEME):
        from seqzoo.checkpoint.hub.pull import pull

        return pull(parse_address(name)).folder
    if looks_like_path(name):
        return Path(name).expanduser()
    everything = catalogue()
    if name in everything.pretrained:
        return _folder_of(everything.pretrained.get(name))
    known = everything.pretrained.names()
    if name in everything.architectures:
        raise UnknownNameError(
            f"'{name}' is an architecture, which has no weights; its checkpoints: "
            f"{', '.join(other for other in known if other.startswith(name)) or 'none'}. "
            f"Train one with `seqzoo train {name} --data …`"
        )
    hint = f" For the folder of that name write './{name}'." if name and Path(name).exists() else ""
    off = [record.name for record in plugins().records if record.status == "disabled"]
    if off:
        hint += f" Plugins that are switched off bring none: {', '.join(off)}."
    raise UnknownNameError(
        f"unknown model '{name}'{nearest(name, known) or '.'}{hint} "
        f"`seqzoo list` shows all {len(known)} checkpoints"
    )


def looks_like_path(name: str) -> bool:
    """Whether a text is meant as a path: it has a separator, or begins like one."""
    return "/" in name or os.sep in name or name in (".", "..") or name.startswith("~")


def _folder_of(spec: PretrainedSpec) -> Path:
    """The folder of a registered checkpoint, fetched where it is not on this machine."""
    folder = _bundled_folder(spec)
    if folder is not None:
        if spec.sha256 is not None and parse_manifest(locate(folder, CONFIG)).sha256 != spec.sha256:
            raise CheckpointError(
                f"{folder} is not the checkpoint '{spec.name}' that plugin '{spec.plugin}' "
                "registers; reinstall the package that ships it"
            )
        return folder
    if spec.repo is not None and spec.revision is not None:
        from seqzoo.checkpoint.hub.pull import pull

        return pull(HubAddress(spec.repo).at(spec.revision), sha256=spec.sha256).folder
    raise CheckpointError(
        f"checkpoint '{spec.name}' of plugin '{spec.plugin}' does not come with its package; "
        f"it is the folder model_cards/{spec.name} of the plugin's repository: clone that and give "
        "the path"
    )


def _bundled_folder(spec: PretrainedSpec) -> Path | None:
    if spec.package is None:
        return None
    module = importlib.util.find_spec(spec.package)
    if module is None or module.origin is None:
        return None
    package = Path(module.origin).parent
    # An installed package has the folder inside; in a checkout it stands beside the package.
    for home in (package, package.parent):
        folder = home / "model_cards" / spec.name
        if folder.is_dir():
            return folder
    return None


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
        },
        paper=spec.paper,
        description=spec.description,
    )


def _of_pretrained(spec: PretrainedSpec) -> ModelInfo:
    folder = _bundled_folder(spec)
    if folder is not None:
        try:
            return _of_manifest(spec.name, read_manifest(folder), bundled=True)
        except CheckpointError as error:
            # One damaged folder is no reason to hide all the others; loading it says the same.
            logger.warning("%s", error)
    return ModelInfo(spec.name, "checkpoint", "", spec.plugin)


def _of_manifest(name: str, manifest: Manifest, bundled: bool) -> ModelInfo:
    measured = read_metrics(manifest)
    sources = [entry.get("data", {}) for entry in measured.values()]
    data = next((source["name"] for source in sources if "name" in source), None)
    if data is None:
        # Reading YAML takes longer than all else here, so only where nothing was measured.
        data = read_recipe(manifest).get("data", {}).get("source")
    architectures = catalogue().architectures
    known = manifest.architecture in architectures
    template = _of_architecture(architectures.get(manifest.architecture)) if known else None
    return ModelInfo(
        name,
        "checkpoint",
        manifest.architecture,
        manifest.plugin["name"],
        bundled=bundled,
        parameters=count_parameters(manifest),
        bytes=manifest.size,
        data=data,
        metrics={protocol: dict(entry["metrics"]) for protocol, entry in measured.items()},
        claims=template.claims if template else {},
        paper=template.paper if template else "",
        description=template.description if template else "",
    )
