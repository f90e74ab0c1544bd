"""Find and open a checkpoint by its name, its path or its Hub address."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from seqzoo.checkpoint.hub.address import SCHEME, HubAddress, parse_address
from seqzoo.checkpoint.manifest import CONFIG, Manifest, parse_manifest
from seqzoo.checkpoint.pins import known_checkpoints, pin_of
from seqzoo.errors import CheckpointError, IntegrityError, UnknownNameError, nearest
from seqzoo.plugins import MODEL_CARDS, catalogue, plugins
from seqzoo.specs import PretrainedSpec
from seqzoo.storage.atomic import locate
from seqzoo.validation import looks_like_path, name_of

if TYPE_CHECKING:
    from seqzoo.checkpoint.record import Checkpoint

__all__ = [
    "bundled_folder",
    "find",
    "locate_checkpoint",
    "open_checkpoint",
    "open_located",
]


def find(name: str | os.PathLike[str]) -> Path:
    """The checkpoint folder of a name, a path or a Hub address, every file from the Hub checked.

    A bare name is always a registered name, so a folder with the same name never changes what is
    loaded. A ``Path`` is always a folder.

    A registered checkpoint is taken from the package that ships it, else from the Hub's cache at
    the registered commit, else from the Hub at that commit.

    Raises:
        UnknownNameError: no checkpoint is registered under the name.
        CheckpointError: the checkpoint on the Hub is damaged or not the registered one.
        HubError: the Hub cannot be reached or does not have the checkpoint.
    """
    return locate_checkpoint(name, verify=True)[0]


def open_checkpoint(name: str | os.PathLike[str], *, keep: bool = False) -> "Checkpoint":
    """Read the checkpoint of a name, a path or a Hub address, each file once.

    Args:
        name: as for ``find``.
        keep: keep the bytes of the files.

    Raises:
        UnknownNameError, CheckpointError, HubError: as ``find`` and ``read_checkpoint`` do.
    """
    return open_located(name, keep=keep)[0]


def open_located(
    name: str | os.PathLike[str], *, keep: bool = False
) -> tuple["Checkpoint", HubAddress | None]:
    """``open_checkpoint``, and repository and commit if the files are in the Hub's cache."""
    from seqzoo.checkpoint.record import read_checkpoint  # torch, which finding does without

    folder, manifest, address = locate_checkpoint(name, verify=False)
    try:
        return read_checkpoint(folder, manifest=manifest, keep=keep), address
    except IntegrityError:
        if address is None:
            raise
        # A file in the Hub's cache is damaged: it is fetched again, once.
        return read_checkpoint(find(name), keep=keep), address


def bundled_folder(spec: PretrainedSpec) -> Path | None:
    """The folder of a registered checkpoint in the package that ships it, if there is one."""
    if spec.package is None:
        return None
    try:
        module = importlib.util.find_spec(spec.package)
    except Exception:  # it imports the parent packages, which may be missing or broken
        return None
    if module is None or module.origin is None:
        return None
    package = Path(module.origin).parent
    # An installed package contains the folder; in a checkout it is next to the package.
    for home in (package, package.parent):
        folder = home / "model_cards" / spec.name
        if folder.is_dir():
            return folder
    return None


def locate_checkpoint(
    name: str | os.PathLike[str], *, verify: bool
) -> tuple[Path, Manifest | None, HubAddress | None]:
    """The folder of a checkpoint, its manifest if that was read, and where the Hub has it.

    Args:
        name: as for ``find``.
        verify: whether to check the sha256 of the files in the Hub's cache.

    Returns:
        Folder, manifest or None, and repository and commit if the folder is in the Hub's cache.
    """
    if isinstance(name, Path):
        return name.expanduser(), None, None
    name = name_of("a model's name or folder", name)
    if name.startswith(SCHEME):
        return _pulled(parse_address(name), None, verify)
    if looks_like_path(name):
        return Path(name).expanduser(), None, None
    checkpoints = known_checkpoints()
    if name not in checkpoints:
        raise _unknown(name, checkpoints.names())
    spec = checkpoints.get(name)
    folder = bundled_folder(spec)
    if folder is not None:
        if spec.sha256 is not None and parse_manifest(locate(folder, CONFIG)).sha256 != spec.sha256:
            raise CheckpointError(
                f"{folder} is not the checkpoint '{spec.name}' that plugin '{spec.plugin}' "
                "registers; reinstall the package that ships it"
            )
        return folder, None, None
    pin = pin_of(spec)
    if pin is not None:
        return _pulled(HubAddress(pin.repo).at(pin.revision), pin.sha256, verify)
    raise CheckpointError(
        f"checkpoint '{spec.name}' of plugin '{spec.plugin}' is not part of its package; it is the "
        f"folder model_cards/{spec.name} of the plugin's repository: clone that and give the path"
    )


def _pulled(
    address: HubAddress, sha256: str | None, verify: bool
) -> tuple[Path, Manifest, HubAddress]:
    from seqzoo.checkpoint.hub.cache import pull_into_cache  # the Hub's client, which is slow

    cached = pull_into_cache(address, sha256=sha256, verify=verify)
    return cached.folder, cached.manifest, cached.address


def _unknown(name: str, known: list[str]) -> UnknownNameError:
    everything = catalogue()
    if name in everything.architectures:
        return UnknownNameError(
            f"'{name}' is an architecture, which has no weights; its checkpoints: "
            f"{', '.join(other for other in known if other.startswith(name)) or 'none'}. "
            f"Train one with `seqzoo train {name} --data …`"
        )
    hint = f" For the folder of that name write './{name}'." if name and Path(name).exists() else ""
    records = plugins().records
    off = [record.name for record in records if record.status == "disabled"]
    if off:
        hint += f" These plugins are switched off: {', '.join(off)}."
    broken = [record.name for record in records if record.status == "broken"]
    if broken:
        hint += f" These plugins are broken: {', '.join(broken)}; `seqzoo plugins` shows why."
    similar = nearest(name, known) or "."
    absent = MODEL_CARDS not in {record.distribution for record in records}
    if absent and _may_be_larger(name, known):
        similar = "."
        hint += (
            f" Larger checkpoints are in the distribution {MODEL_CARDS}, which is not installed: "
            "run `pip install ./model_cards` in a checkout of seqzoo."
        )
    return UnknownNameError(
        f"unknown model '{name}'{similar}{hint} `seqzoo list` shows all {len(known)} checkpoints"
    )


def _may_be_larger(name: str, known: list[str]) -> bool:
    """Whether a name, ``ARCHITECTURE-DATA``, ends in known data that no known checkpoint has.

    The data ``amazon-video-games`` are ``games`` in the name of a checkpoint, ``ml-1m`` are
    ``ml1m``.
    """
    plain = name.partition("@")[0]
    everything = catalogue()
    data = [
        plain.removeprefix(f"{architecture}-")
        for architecture in everything.architectures.names()
        if plain.startswith(f"{architecture}-")
    ]
    return any(
        (dataset.name.endswith(f"-{short}") or dataset.name.replace("-", "") == short)
        and not any(other.partition("@")[0].endswith(f"-{short}") for other in known)
        for short in data
        for dataset in everything.datasets
    )
