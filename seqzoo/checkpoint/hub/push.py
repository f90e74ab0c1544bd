"""Publish a checkpoint: one commit, and none if nothing has changed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.lfs import UploadInfo

from seqzoo.checkpoint.card import card_of
from seqzoo.checkpoint.card_merge import card_parts, decode_card, merge_cards
from seqzoo.checkpoint.eval_results import EVAL_RESULTS, render_eval_results
from seqzoo.checkpoint.hub import api as hub
from seqzoo.checkpoint.hub.address import HubAddress, parse_address
from seqzoo.checkpoint.hub.errors import hub_errors
from seqzoo.checkpoint.hub.schemas import HubEntry
from seqzoo.checkpoint.manifest import CARD, CONFIG, CURVE, LARGEST, OPTIONAL, RECORDED
from seqzoo.checkpoint.record import Checkpoint
from seqzoo.errors import CheckpointError, HubError, UsageError
from seqzoo.storage.integrity import read_bytes
from seqzoo.version import __version__

__all__ = ["Pushed", "push_checkpoint"]

logger = logging.getLogger("seqzoo")

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Pushed:
    """The result of a push, or of a dry run.

    Attributes:
        address: repository and commit; without a commit in a dry run of a new repository.
        changed: files that differ from those in the repository; empty if nothing was committed.
        committed: whether a commit was made.
        pull_request: address of the pull request, if one was made.
        tag: the tag that now points to the commit.
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
        """The commit of the files; None if there is none yet."""
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
    """The present state of a repository.

    Attributes:
        commit: the newest one; None if there is no repository yet.
        private: whether it is private; None if there is no repository yet.
        branches: their names.
        tags: commits by tag.
        files: the Hub's entries of the files of a checkpoint, by name.
        lacks_branch: whether the requested branch does not exist yet.
    """

    commit: str | None = None
    private: bool | None = None
    branches: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, HubEntry] = field(default_factory=dict)
    lacks_branch: bool = False


def push_checkpoint(
    checkpoint: Checkpoint,
    address: HubAddress,
    *,
    private: bool | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Publish a checkpoint; a missing repository is created.

    Args:
        checkpoint: read or rendered, with the bytes of its files.
        address: repository, and the branch to commit to; None for the main branch.
        private: whether a new repository is private; None for the Hub's default.
        create_pr: open a pull request instead of committing; every call opens a new one.
        tag: a permanent name for the commit.
        dry_run: only report what would be done.

    Raises:
        CheckpointError: a card cannot be read, or the training curve is not a PNG picture.
        HubError: the Hub cannot be reached or refuses, or the branch has changed in the meantime.
        UsageError: the address names a commit or a tag; the tag is not a valid name or points to
            another commit; the visibility of the repository differs from ``private``; or a pull
            request is requested without a repository.
    """
    if address.is_pinned:
        raise UsageError(f"{address}: a commit is never changed; give a branch, or none")
    if tag is not None:
        _check_tag_name(address, tag)
    if tag is not None and create_pr:
        raise UsageError("a pull request is not part of a branch yet: tag it after it is merged")
    sha256 = checkpoint.manifest.sha256
    api = HfApi(library_name="seqzoo", library_version=__version__)
    with hub_errors(address, "write"):
        remote = _remote_state(address)
    _check_options(address, remote, private, create_pr, tag)
    _check_curve(checkpoint)
    _warn_of_paths(checkpoint)
    files, changed = _changed_files(checkpoint, address, remote)
    _check_tag(address, remote, tag, changed)
    if dry_run:
        known = address.at(remote.commit) if remote.commit else address
        return Pushed(known, changed, False, None, None, sha256)
    if remote.commit is None:
        with hub_errors(address, "write"):
            api.create_repo(address.repo, private=private, exist_ok=True)
            remote = _remote_state(address, made=True)
        # Another user may have created it first, with content.
        _check_options(address, remote, private, create_pr, tag)
        files, changed = _changed_files(checkpoint, address, remote)
        _check_tag(address, remote, tag, changed)
    with hub_errors(address, "write"):
        if remote.lacks_branch and address.revision is not None:
            # From the commit that was compared, even if the main branch has moved since.
            api.create_branch(address.repo, branch=address.revision, revision=remote.commit)
        commit, pull_request = remote.commit or "", None
        if changed:
            info = api.create_commit(
                address.repo,
                [_operation(checkpoint, name, files[name]) for name in changed],
                commit_message=f"Publish with seqzoo {__version__}",
                revision=address.revision,
                # Nothing is committed if the branch has moved since the comparison.
                parent_commit=remote.commit,
                create_pr=create_pr,
            )
            commit, pull_request = info.oid, info.pr_url
        if tag is not None and remote.tags.get(tag) != commit:
            api.create_tag(address.repo, tag=tag, revision=commit)
    done = address.at(commit)
    return Pushed(done, changed, bool(changed), pull_request, tag, sha256)


def _remote_state(address: HubAddress, *, made: bool = False) -> _Remote:
    """The present state of the repository; if it was just created, a missing one is an error."""
    try:
        info = hub.model_info(address)
        lacks_branch = False
    except RevisionNotFoundError:
        info, lacks_branch = hub.model_info(HubAddress(address.repo)), True
    except RepositoryNotFoundError:
        if made:
            raise
        return _Remote()
    files = hub.list_files(address.at(info.sha), [*RECORDED, CONFIG, CARD, CURVE, EVAL_RESULTS])
    for entry in files.values():
        if entry.type != "file":
            raise HubError(
                f"{address}: {entry.path} is a folder in the repository and must be a file; remove "
                "or rename it there, or choose another repository"
            )
    refs = hub.list_references(address)
    branches = frozenset(ref.name for ref in refs.branches)
    tags = {ref.name: ref.target_commit for ref in refs.tags}
    return _Remote(info.sha, info.private, branches, tags, files, lacks_branch)


def _check_tag_name(address: HubAddress, tag: str) -> None:
    """Before anything is committed, refuse a tag that the Hub or git would refuse."""
    reads_as_other = HubAddress(address.repo, tag.lower()).is_pinned or tag.startswith("refs/")
    try:
        parse_address(f"{HubAddress(address.repo)}@{tag}")
        fits = not reads_as_other and not tag.endswith(("/", ".", ".lock"))
    except UsageError:
        fits = False
    if not fits:
        raise UsageError(
            f"{tag!r} cannot be a tag; expected letters, digits and ._/+-, but not a commit or a "
            "reference; for example 'v1'"
        )


def _check_options(
    address: HubAddress, remote: _Remote, private: bool | None, create_pr: bool, tag: str | None
) -> None:
    """Check the options against the present state of the repository before anything is sent."""
    branch = address.revision
    if create_pr and remote.commit is None:
        raise UsageError(
            f"there is no repository {address.repo} to propose a change to; push without "
            "--create-pr to create it"
        )
    if None not in (private, remote.private) and private != remote.private:
        is_now, requested = ("private", "public") if remote.private else ("public", "private")
        raise UsageError(
            f"{address.repo} is {is_now}, and a push sets the visibility of new repositories only; "
            f"change it in the repository's settings on the Hub, or push without --{requested}"
        )
    if branch is not None and branch not in remote.branches:
        is_new = remote.lacks_branch or remote.commit is None
        if branch in remote.tags:
            raise UsageError(f"{address}: {branch} is a tag; give a branch, or none")
        if is_new and create_pr:
            raise UsageError(
                f"{address}: there is no branch {branch} yet; push without --create-pr to create it"
            )
        # The Hub also resolves shortened commits and references; only pull requests are allowed.
        if is_new == branch.startswith("refs/"):
            raise UsageError(f"{address}: {branch} is not a branch; give the name of one, or none")
    if tag is not None and tag in {*remote.branches, branch or "main"}:
        raise UsageError(f"'{tag}' is a branch of {address.repo}; choose another name for the tag")


def _check_curve(checkpoint: Checkpoint) -> None:
    if not bytes(checkpoint.contents.get(CURVE, _PNG)).startswith(_PNG):
        raise CheckpointError(
            f"{checkpoint.manifest.folder / CURVE} is not a PNG picture; draw it again or remove it"
        )


def _is_there(checkpoint: Checkpoint, remote: _Remote, name: str, content: bytes | None) -> bool:
    """Whether the repository has exactly this file, or does not have one without content."""
    entry, known = remote.files.get(name), checkpoint.manifest.files.get(name)
    if entry is None or content is None:
        return entry is None and content is None
    if entry.size != len(content):
        return False
    if entry.lfs is not None and known is not None:
        return bool(entry.lfs.oid == known["sha256"])
    return hub.has_id([content], len(content), entry)


def _operation(
    checkpoint: Checkpoint, name: str, content: bytes | None
) -> CommitOperationAdd | CommitOperationDelete:
    """The upload or removal of a file.

    The client does not hash a file whose sha256 is in ``config.json``.
    """
    if content is None:
        return CommitOperationDelete(name)
    known = checkpoint.manifest.files.get(name)
    if known is None:
        return CommitOperationAdd(name, content)
    # The client hashes what it is created with, so the content follows afterwards.
    addition = CommitOperationAdd(name, b"")
    addition.path_or_fileobj = content
    addition.upload_info = UploadInfo(
        sha256=bytes.fromhex(known["sha256"]), size=len(content), sample=content[:512]
    )
    return addition


def _check_tag(
    address: HubAddress, remote: _Remote, tag: str | None, changed: tuple[str, ...]
) -> None:
    """A tag that points to another commit is never moved."""
    if tag is not None and tag in remote.tags and (changed or remote.tags[tag] != remote.commit):
        raise UsageError(
            f"the tag '{tag}' of {address.repo} points to commit {remote.tags[tag]} and is not "
            "moved; choose another tag"
        )


def _changed_files(
    checkpoint: Checkpoint, address: HubAddress, remote: _Remote
) -> tuple[dict[str, bytes | None], tuple[str, ...]]:
    """The files with their card, and the names of those that are new or differ from the repository.

    A file without content is deleted there. The card has this checkpoint's metrics and the
    hand-written text of the local card or the Hub's.
    """
    contents = {name: bytes(content) for name, content in checkpoint.contents.items()}
    files: dict[str, bytes | None] = {
        name: contents[name] for name in (*checkpoint.manifest.names, CONFIG)
    }
    # A file that an earlier checkpoint needed and this one does not.
    files |= {name: None for name in OPTIONAL if name in remote.files and name not in files}
    if CURVE in contents:
        files[CURVE] = contents[CURVE]
    ours = str(checkpoint.manifest.folder / CARD)
    theirs = f"{CARD} of {address.repo} at {remote.commit}"
    content, entry, there = contents.get(CARD), remote.files.get(CARD), None
    existing = None if content is None else decode_card(content, ours)
    if entry is not None:
        if entry.size > LARGEST[CARD]:
            raise CheckpointError(
                f"{theirs} has {entry.size} bytes, expected at most {LARGEST[CARD]}; shorten it "
                "on the Hub"
            )
        with hub_errors(address, "write"):
            path = hub.download(address.at(remote.commit or ""), entry)
        there = decode_card(read_bytes(path, LARGEST[CARD]), theirs)
        existing = merge_cards(existing or "", there, ours, theirs)
    card = card_of(
        checkpoint,
        name=address.name,
        source=str(HubAddress(address.repo)),
        curve=CURVE if CURVE in files else None,
        existing=existing,
    )
    # Another layout of the same YAML is not a change.
    if there is not None and card_parts(card, ours) == card_parts(there, theirs):
        card = there
    results = render_eval_results(
        checkpoint.recipe, checkpoint.metrics, str(HubAddress(address.repo))
    )
    after = {**files, CARD: card.encode(), EVAL_RESULTS: results}
    return after, tuple(
        name for name in after if not _is_there(checkpoint, remote, name, after[name])
    )


def _warn_of_paths(checkpoint: Checkpoint) -> None:
    """Warn of absolute paths in the recipe, which reveal details of the machine."""
    data, start = checkpoint.recipe.get("data", {}), checkpoint.recipe.get("start")
    named = {
        "the data": data.get("source"),
        "the older data": data.get("replay_source"),
        "the item features": data.get("item_features"),
        "its start": start.get("source") if isinstance(start, Mapping) else start,
    }
    for what, source in named.items():
        if isinstance(source, str) and (Path(source).is_absolute() or source.startswith("~")):
            logger.warning(
                "recipe.yaml names %s as %s, which everyone can read; to publish no path, train "
                "from a relative one",
                what,
                source,
            )
