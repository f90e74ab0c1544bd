"""Pull a checkpoint into the Hub's cache and check every file before it is used.

A file is accepted only if its sha256 is the one that ``config.json`` records. Only the names of a
checkpoint's files are ever requested; other files of a repository are never fetched.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import constants, try_to_load_from_cache

from seqzoo.checkpoint.hub import api
from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.hub.errors import hub_errors, not_reached
from seqzoo.checkpoint.hub.schemas import HubEntry
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    LARGEST,
    RECORDED,
    Manifest,
    parse_manifest,
    verify_file,
)
from seqzoo.errors import CheckpointError, HubError, IntegrityError

__all__ = ["CachedCheckpoint", "CheckedT", "pull_into_cache"]

logger = logging.getLogger("seqzoo")

CheckedT = TypeVar("CheckedT")


@dataclass(frozen=True)
class CachedCheckpoint:
    """A checkpoint of the Hub in the local cache.

    Attributes:
        address: repository and commit.
        folder: its folder in the cache.
        manifest: its ``config.json``.
    """

    address: HubAddress
    folder: Path
    manifest: Manifest


def pull_into_cache(
    address: HubAddress, *, sha256: str | None = None, verify: bool = True
) -> CachedCheckpoint:
    """Fetch the files that are not cached yet and check all of them.

    The Hub is not asked for a commit that is completely cached. A damaged file in the cache is
    fetched again, once.

    Args:
        address: a commit, or a tag or branch, which is resolved to one.
        sha256: of ``config.json`` as registered; any other is refused.
        verify: whether to check the sha256 of the other files, which may be large. Otherwise they
            are only fetched, for a reader that checks them itself.

    Raises:
        HubError: the Hub cannot be reached, or has no such repository, revision or file.
        CheckpointError: the repository holds no checkpoint, a damaged one, or not the registered
            one.
    """
    source = _Source(address if address.is_pinned else _resolve(address))
    config, manifest = source.checked(
        CONFIG, LARGEST[CONFIG], lambda path: _read_config(path, sha256)
    )
    for name in manifest.names:
        size = manifest.files[name]["size"]
        if verify:
            source.checked(name, size, lambda path: verify_file(manifest, path.name))
        else:
            source.fetch(name, size)
    source.fetch_card()
    if not address.is_pinned and not constants.HF_HUB_OFFLINE:
        with hub_errors(address):
            api.remember(address, source.address.revision or "")
    return CachedCheckpoint(source.address, config.parent, manifest)


class _Source:
    """One repository at one commit: its files in the cache, or from the Hub."""

    def __init__(self, address: HubAddress) -> None:
        self.address = address
        self._fetched: set[str] = set()
        self._entries: dict[str, HubEntry] | None = None

    def fetch(self, name: str, size: int, *, again: bool = False) -> Path:
        """A file in the cache, fetched if it is missing or to be replaced.

        Args:
            name: the name of the file.
            size: in bytes; for ``config.json``, whose size nothing records, the most it may have.
            again: whether to replace a cached file.
        """
        cached = try_to_load_from_cache(self.address.repo, name, revision=self.address.revision)
        if isinstance(cached, str) and not again:
            return Path(cached)
        if constants.HF_HUB_OFFLINE:
            raise not_reached(self.address, LookupError(name))
        entry = self._listed(name)
        if entry is None:
            raise CheckpointError(
                f"{self.address} has no {name}, which a checkpoint needs; ask its owner to push it "
                "again"
            )
        if entry.size > size or (name in RECORDED and entry.size != size):
            raise IntegrityError(
                f"{self.address}: {name} has {entry.size} bytes, expected "
                f"{size if name in RECORDED else f'at most {size}'}; ask its owner to push it again"
            )
        with hub_errors(self.address):
            path = api.download(self.address, entry)
        self._fetched.add(name)
        return path

    def checked(
        self, name: str, size: int, check: Callable[[Path], CheckedT]
    ) -> tuple[Path, CheckedT]:
        """A file that passes a check and the result of the check; fetched again once if it fails.

        Args:
            name: the name of the file.
            size: as for ``fetch``.
            check: raises ``CheckpointError``.
        """
        path = self.fetch(name, size)
        try:
            return path, check(path)
        except CheckpointError:
            # The Hub would send the same file again.
            if name in self._fetched or constants.HF_HUB_OFFLINE:
                raise
        logger.warning("%s: %s is damaged and is fetched again", self.address, name)
        path = self.fetch(name, size, again=True)
        return path, check(path)

    def fetch_card(self) -> None:
        """Fetch the card and the training curve along with other files, if there are any.

        They are free to edit and no model needs them, so a failure is only logged.
        """
        if self._entries is None:
            return
        for name in (CARD, CURVE):
            if self._listed(name) is not None:
                try:
                    self.fetch(name, LARGEST[name])
                except (HubError, CheckpointError) as error:
                    logger.warning("%s: %s was not fetched: %s", self.address, name, error)

    def _listed(self, name: str) -> HubEntry | None:
        if self._entries is None:
            names = [CONFIG, *RECORDED, CARD, CURVE]
            with hub_errors(self.address):
                self._entries = api.list_files(self.address, names)
        entry = self._entries.get(name)
        return None if entry is None or entry.type != "file" else entry


def _resolve(address: HubAddress) -> HubAddress:
    """The commit that a tag or a branch points to now; offline, the one it last pointed to."""
    if constants.HF_HUB_OFFLINE:
        revision = address.revision or constants.DEFAULT_REVISION
        try:
            found = try_to_load_from_cache(address.repo, CONFIG, revision=revision)
        except (OSError, ValueError):  # the file of the branch is damaged
            found = None
        if not isinstance(found, str):
            raise not_reached(address, LookupError(revision))
        commit = Path(found).parent.name
    else:
        with hub_errors(address):
            commit = api.model_info(address).sha
    logger.info("%s is commit %s", address, commit)
    return address.at(commit)


def _read_config(path: Path, sha256: str | None) -> Manifest:
    manifest = parse_manifest(path)
    if sha256 is not None and manifest.sha256 != sha256:
        raise IntegrityError(
            f"{path} has sha256 {manifest.sha256}, registered is {sha256}: it is not the "
            "registered model; tell the plugin's author"
        )
    return manifest
