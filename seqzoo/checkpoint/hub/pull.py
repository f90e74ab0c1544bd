"""Fetch a checkpoint into the Hub's own cache and check every file before it is used.

The Hub's client compares sizes alone, so a file is taken for what it is only once its sha256 is
the one that ``config.json`` records. Only names that a checkpoint has are ever asked for: what else
lies in a repository is never fetched.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.hub.errors import hub_errors, not_reached
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    HASHED,
    LARGEST,
    Manifest,
    parse_manifest,
)
from seqzoo.errors import CheckpointError, HubError, IntegrityError
from seqzoo.storage.integrity import sha256_of, wrong_sha256, wrong_size
from seqzoo.version import __version__

logger = logging.getLogger("seqzoo")

_TRIES = 3

CheckedT = TypeVar("CheckedT")


@dataclass(frozen=True)
class Pulled:
    """A checkpoint of the Hub on this machine.

    Attributes:
        address: repository and commit.
        folder: where it lies in the cache.
        manifest: its ``config.json``.
    """

    address: HubAddress
    folder: Path
    manifest: Manifest


def pull(address: HubAddress, *, sha256: str | None = None, verify: bool = True) -> Pulled:
    """Fetch what is not cached yet, check all of it, and say where it lies.

    At a commit that is cached whole nothing is asked of the Hub. A cached file that is damaged is
    fetched again, once.

    Args:
        address: a commit, or a tag or branch, which is resolved to one.
        sha256: of ``config.json`` as registered; anything else is refused.
        verify: whether to check the sha256 of the other files, which may be large. Without it they
            are only fetched, for a reader that checks what it reads.

    Raises:
        HubError: the Hub cannot be reached, or has no such repository, revision or file.
        CheckpointError: what it has is not a checkpoint, is damaged, or not the registered one.
    """
    source = _Source(address) if address.is_pinned else _resolve(address)
    config, manifest = _checked(source, CONFIG, lambda path: _read_config(path, sha256))
    for name in HASHED:
        entry = manifest.files[name]

        def check(path: Path, size: int = entry["size"], digest: str = entry["sha256"]) -> None:
            _check_file(path, size, digest)

        source.require(name, entry["size"], exactly=True)
        if verify:
            _checked(source, name, check)
        else:
            source.fetch(name)
    source.fetch_card()
    return Pulled(source.address, config.parent, manifest)


class _Source:
    """One repository at one commit: its files in the cache, or from the Hub."""

    def __init__(self, address: HubAddress) -> None:
        self.address = address
        self.fetched: set[str] = set()
        self._sizes: dict[str, int] | None = None

    def cached(self, name: str) -> Path | None:
        """Where the cache has a file, if it has."""
        found = try_to_load_from_cache(self.address.repo, name, revision=self.address.revision)
        return Path(found) if isinstance(found, str) else None

    def require(self, name: str, size: int, *, exactly: bool) -> None:
        """See that a file that is still to come has no other size than it may have."""
        if self.cached(name) is not None or constants.HF_HUB_OFFLINE:
            return
        found = self._size_of(name)
        if found is None:
            raise CheckpointError(
                f"{self.address} has no {name}, which a checkpoint needs; ask its owner to push it "
                "again"
            )
        if found > size or (exactly and found != size):
            expected = f"{size}" if exactly else f"at most {size}"
            raise IntegrityError(
                f"{self.address}: {name} has {found} bytes, expected {expected}; ask its owner to "
                "push it again"
            )

    def fetch(self, name: str, *, again: bool = False) -> Path:
        """A file in the cache, fetched where it is missing or to be replaced."""
        if not again and (path := self.cached(name)) is not None:
            return path
        with hub_errors(self.address):
            path = self._download(name, again)
        if path.name != name or path.parent.name != self.address.revision:
            raise HubError(
                f"{self.address}: the Hub answers with another commit than was asked for; check "
                "HF_ENDPOINT"
            )
        self.fetched.add(name)
        return path

    def _download(self, name: str, again: bool) -> Path:
        """Let the client fetch a file; it does not try again itself after a lost connection."""
        attempt = 1
        while True:
            try:
                return Path(
                    hf_hub_download(
                        self.address.repo,
                        name,
                        revision=self.address.revision,
                        force_download=again,
                        library_name="seqzoo",
                        library_version=__version__,
                    )
                )
            except httpx.TransportError:
                if attempt == _TRIES:
                    raise
                time.sleep(attempt)
                attempt += 1

    def fetch_card(self) -> None:
        """Fetch the card and its picture along with other files, where there are any.

        They are free to edit and no model needs them, so what fails here is only said.
        """
        if self._sizes is None:
            return
        for name in (CARD, CURVE):
            size = self._size_of(name)
            if size is None or self.cached(name) is not None:
                continue
            try:
                if not 0 <= size <= LARGEST[name]:
                    raise HubError(f"it has {size} bytes, at most {LARGEST[name]} are fetched")
                self.fetch(name)
            except HubError as error:
                logger.warning("%s: %s was not fetched: %s", self.address, name, error)

    def _size_of(self, name: str) -> int | None:
        if self._sizes is None:
            names = [CONFIG, *HASHED, CARD, CURVE]
            with hub_errors(self.address):
                entries = HfApi(library_name="seqzoo").get_paths_info(
                    self.address.repo, names, revision=self.address.revision
                )
            self._sizes = {entry.path: getattr(entry, "size", -1) for entry in entries}
        return self._sizes.get(name)


def _resolve(address: HubAddress) -> _Source:
    """The commit that a tag or a branch stands for now; offline, the one it last stood for."""
    revision = address.revision or constants.DEFAULT_REVISION
    if constants.HF_HUB_OFFLINE:
        found = try_to_load_from_cache(address.repo, CONFIG, revision=revision)
        if not isinstance(found, str):
            raise not_reached(address, LookupError(revision))
        source = _Source(address.at(Path(found).parent.name))
    else:
        with hub_errors(address):
            info = HfApi(library_name="seqzoo").model_info(address.repo, revision=address.revision)
        source = _Source(address.at(info.sha or ""))
        was_cached = source.cached(CONFIG) is not None
        source.require(CONFIG, LARGEST[CONFIG], exactly=False)
        # By the name of the revision, so that the cache remembers what it stood for.
        with hub_errors(address):
            path = hf_hub_download(
                address.repo,
                CONFIG,
                revision=revision,
                library_name="seqzoo",
                library_version=__version__,
            )
        # The client falls back on what the name once stood for where the Hub fails in between.
        if Path(path).parent.name != source.address.revision:
            raise HubError(
                f"{address} has changed meanwhile, or the Hub fails: it says commit "
                f"{source.address.revision} and gives {Path(path).parent.name}; try again"
            )
        if not was_cached:
            source.fetched.add(CONFIG)
    logger.info("%s is commit %s", address, source.address.revision)
    return source


def _checked(
    source: _Source, name: str, check: Callable[[Path], CheckedT]
) -> tuple[Path, CheckedT]:
    """A file that passes a check, and what the check gives; else it is fetched again, once."""
    if name == CONFIG:
        source.require(CONFIG, LARGEST[CONFIG], exactly=False)
    path = source.fetch(name)
    try:
        return path, check(path)
    except IntegrityError as error:
        damage: CheckpointError = error
    except CheckpointError as error:
        # A config.json that is no longer JSON, for one. What the Hub has just sent is not damage.
        if name in source.fetched:
            raise
        damage = error
    if constants.HF_HUB_OFFLINE:
        raise damage
    logger.warning("%s: %s is damaged and is fetched again", source.address, name)
    path = source.fetch(name, again=True)
    return path, check(path)


def _read_config(path: Path, sha256: str | None) -> Manifest:
    manifest = parse_manifest(path)
    if sha256 is not None and manifest.sha256 != sha256:
        raise IntegrityError(
            f"{path} has sha256 {manifest.sha256}, registered is {sha256}: it is not the "
            "registered model; tell the plugin's author"
        )
    return manifest


def _check_file(path: Path, size: int, sha256: str) -> None:
    try:
        found_size = path.stat().st_size
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}; fetch it again") from error
    if found_size != size:
        raise wrong_size(path, found_size, size)
    found = sha256_of(path)
    if found != sha256:
        raise wrong_sha256(path, found, sha256)
