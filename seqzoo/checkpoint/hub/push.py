"""Publish a checkpoint: checked first, one commit, and none where nothing has changed."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from seqzoo import __version__
from seqzoo.checkpoint.card import hand_written, has_generated_blocks
from seqzoo.checkpoint.checkpoint import load_checkpoint
from seqzoo.checkpoint.describe import card_of
from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.hub.errors import hub_errors
from seqzoo.checkpoint.integrity import read_bytes
from seqzoo.checkpoint.manifest import (
    CARD,
    CONFIG,
    CURVE,
    HASHED,
    LARGEST,
    Manifest,
    read_manifest,
    read_verified,
)
from seqzoo.errors import CheckpointError, UsageError
from seqzoo.model import SequenceModel

logger = logging.getLogger("seqzoo")


@dataclass(frozen=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        address: repository and commit; without a commit for a dry run of a new repository.
        changed: files that differ from what was there; empty where nothing was committed.
        committed: whether a commit was made.
        pull_request: address of the pull request, if one was made.
        tag: the tag that now stands for the commit.
        sha256: of ``config.json``, for the registry.
    """

    address: HubAddress
    changed: tuple[str, ...]
    committed: bool
    pull_request: str | None
    tag: str | None
    sha256: str

    @property
    def commit(self) -> str | None:
        """The commit that the files are at; None where there is none yet."""
        return self.address.revision if self.address.is_pinned else None

    @property
    def registry_line(self) -> str:
        """The line by which a plugin registers exactly these weights."""
        repo, commit = self.address.repo, self.address.revision
        name = repo.partition("/")[2].lower()
        return (
            f'zoo.pretrained("{name}", repo="{repo}", revision="{commit}", sha256="{self.sha256}")'
        )


@dataclass(frozen=True)
class _Remote:
    """A repository as it is now.

    Attributes:
        commit: the newest one; None where there is no repository yet.
        tags: the commits they stand for.
        files: what the Hub knows of our files.
        lacks_branch: whether the branch that was asked for is still to be made.
    """

    commit: str | None
    tags: Mapping[str, str]
    files: Mapping[str, Any]
    lacks_branch: bool = False


def push_checkpoint(
    folder: Path,
    address: HubAddress,
    *,
    private: bool | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Publish a checkpoint folder; the repository is made where it is missing.

    Args:
        folder: a checkpoint; every file is checked and the model is loaded before anything is sent.
        address: repository, and the branch to commit to (the main one where None).
        private: whether a new repository is private; the Hub's own default where None.
        create_pr: propose the commit instead of making it.
        tag: a name for the commit, which it keeps.
        dry_run: only say what would be done.

    Raises:
        CheckpointError: the folder is damaged or its weights do not load.
        HubError: the Hub cannot be reached or refuses, or the branch has changed meanwhile.
        UsageError: the address names a commit, or the tag stands for another commit.
    """
    if address.is_pinned:
        raise UsageError(f"{address}: a commit is never changed; give a branch, or none")
    if tag is not None and create_pr:
        raise UsageError("a pull request is no commit of a branch yet: tag it once it is merged")
    model = load_checkpoint(folder)
    manifest = read_manifest(folder)
    api = HfApi(library_name="seqzoo", library_version=__version__)
    with hub_errors(address, "write"):
        remote = _look(api, address)
    files = {name: read_verified(manifest, name)[1] for name in HASHED}
    files[CONFIG] = read_bytes(manifest.folder / CONFIG, LARGEST[CONFIG])
    if (manifest.folder / CURVE).is_file():
        files[CURVE] = read_bytes(manifest.folder / CURVE, LARGEST[CURVE])
    files[CARD] = _card(manifest, model, address, remote, files).encode()
    _warn_of_paths(model)
    changed = tuple(name for name, content in files.items() if not _is_there(remote, name, content))
    _check_tag(address, remote, tag, changed)
    if dry_run:
        known = address.at(remote.commit) if remote.commit else address
        return Pushed(known, changed, False, None, None, manifest.sha256)
    with hub_errors(address, "write"):
        if remote.commit is None or remote.lacks_branch:
            remote = _make(api, address, remote, private)
        commit, pull_request = remote.commit or "", None
        if changed:
            info = api.create_commit(
                address.repo,
                [CommitOperationAdd(name, files[name]) for name in changed],
                commit_message=f"Publish with seqzoo {__version__}",
                revision=address.revision,
                # What has been compared is what is changed, or nothing is.
                parent_commit=remote.commit,
                create_pr=create_pr,
            )
            commit, pull_request = info.oid, info.pr_url
        if tag is not None and remote.tags.get(tag) != commit:
            api.create_tag(address.repo, tag=tag, revision=commit)
    done = address.at(commit)
    return Pushed(done, changed, bool(changed), pull_request, tag, manifest.sha256)


def _look(api: HfApi, address: HubAddress) -> _Remote:
    try:
        info = api.model_info(address.repo, revision=address.revision)
        lacks_branch = False
    except RevisionNotFoundError:
        info, lacks_branch = api.model_info(address.repo), True
    except RepositoryNotFoundError:
        return _Remote(None, {}, {})
    names = [CONFIG, *HASHED, CARD, CURVE]
    entries = api.get_paths_info(address.repo, names, revision=info.sha)
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(address.repo).tags}
    return _Remote(info.sha, tags, {entry.path: entry for entry in entries}, lacks_branch)


def _make(api: HfApi, address: HubAddress, remote: _Remote, private: bool | None) -> _Remote:
    """The repository and the branch that were asked for; a new branch begins at the main one."""
    if remote.commit is None:
        api.create_repo(address.repo, private=private, exist_ok=True)
    if address.revision is not None:
        api.create_branch(address.repo, branch=address.revision, exist_ok=True)
    info = api.model_info(address.repo, revision=address.revision)
    return replace(remote, commit=info.sha)


def _is_there(remote: _Remote, name: str, content: bytes) -> bool:
    """Whether the repository has exactly this file: by sha256, or git's own sha1 of small files."""
    entry = remote.files.get(name)
    if entry is None:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == hashlib.sha256(content).hexdigest())
    header = f"blob {len(content)}\0".encode()
    return bool(entry.blob_id == hashlib.sha1(header + content, usedforsecurity=False).hexdigest())


def _check_tag(
    address: HubAddress, remote: _Remote, tag: str | None, changed: tuple[str, ...]
) -> None:
    """A tag that stands for something else is never moved."""
    if tag is not None and tag in remote.tags and (changed or remote.tags[tag] != remote.commit):
        raise UsageError(
            f"the tag '{tag}' of {address.repo} stands for commit {remote.tags[tag]}, and people "
            "rely on it; choose another tag"
        )


def _card(
    manifest: Manifest,
    model: SequenceModel,
    address: HubAddress,
    remote: _Remote,
    files: Mapping[str, bytes],
) -> str:
    """The card with this checkpoint's figures around what people have written, here or there."""
    here = _read_card(manifest.folder / CARD)
    there = None
    entry = remote.files.get(CARD)
    if entry is not None and entry.size <= LARGEST[CARD]:
        path = hf_hub_download(address.repo, CARD, revision=remote.commit)
        there = _read_card(Path(path))
    existing = here
    if there is not None and has_generated_blocks(there) and hand_written(there):
        if not hand_written(here or ""):
            existing = there
        elif hand_written(there) != hand_written(here or ""):
            logger.warning(
                "the card on the Hub has other hand-written text than %s, which replaces it; it "
                "stays in the history, commit %s",
                manifest.folder / CARD,
                remote.commit,
            )
    return card_of(
        model,
        name=address.repo.partition("/")[2],
        source=str(HubAddress(address.repo)),
        recipe=model.recipe,
        metrics=model.metrics,
        parameters=model.num_parameters,
        size=sum(len(content) for content in files.values()),
        curve=CURVE if CURVE in files else None,
        existing=existing,
    )


def _read_card(path: Path) -> str | None:
    try:
        return read_bytes(path, LARGEST[CARD]).decode() if path.is_file() else None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is not UTF-8; save it as UTF-8 text") from None


def _warn_of_paths(model: SequenceModel) -> None:
    """A recipe says where its data lay; a path tells strangers about the machine."""
    source = str(model.recipe.get("data", {}).get("source", ""))
    if Path(source).is_absolute() or source.startswith("~"):
        logger.warning(
            "recipe.yaml names the data as %s, which everyone can read; train from a relative path "
            "to publish none",
            source,
        )
