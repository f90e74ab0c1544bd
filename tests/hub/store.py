"""Model repositories in memory: blobs, commits, branches, tags and pull requests."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from itertools import pairwise
from typing import Any

from . import cards

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".onnx", ".npy", ".npz", ".zip")
LFS_SIZE = 10 * 1024 * 1024
GIT_ATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES
).encode()


class HubError(Exception):
    """A refusal: the status, and what the Hub says in ``X-Error-Code`` and ``X-Error-Message``."""

    def __init__(
        self, status: int, message: str, code: str | None = None, commit: str | None = None
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.commit = commit


def git_sha1(content: bytes, kind: str = "blob") -> str:
    """The id that git gives to an object."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file belongs in LFS: by its name, its size, or because it is not text."""
    return path.endswith(LFS_SUFFIXES) or size > LFS_SIZE or b"\0" in sample


@dataclass(frozen=True)
class Blob:
    """A file's content, kept in git or in LFS."""

    content: bytes
    lfs: bool = False

    @property
    def size(self) -> int:
        return len(self.content)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds instead of the content of an LFS file."""
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @cached_property
    def git_oid(self) -> str:
        return git_sha1(self.pointer if self.lfs else self.content)

    @property
    def etag(self) -> str:
        """The name of the blob in a client's cache."""
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    """One state of a repository."""

    id: str
    parent: str | None
    files: Mapping[str, Blob]
    title: str
    message: str
    date: str

    def folders(self) -> dict[str, str]:
        """Every folder and the id of its tree."""
        found: dict[str, list[str]] = {}
        for path, blob in self.files.items():
            parts = path.split("/")
            for depth in range(1, len(parts)):
                found.setdefault("/".join(parts[:depth]), []).append(f"{path} {blob.git_oid}")
        return {
            folder: git_sha1("\n".join(sorted(lines)).encode(), "tree")
            for folder, lines in found.items()
        }


@dataclass
class Repo:
    """A model repository. Use it under the store's lock."""

    id: str
    private: bool = False
    gated: bool = False
    allowed: set[str] = field(default_factory=set)  # tokens that a gated repository lets in
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, str] = field(default_factory=dict)
    pull_titles: dict[int, str] = field(default_factory=dict)
    created: str = ""

    def __post_init__(self) -> None:
        self.created = now()
        self.commit("main", {".gitattributes": Blob(GIT_ATTRIBUTES)}, title="initial commit")

    def resolve(self, revision: str = "main") -> Commit:
        """The commit of a branch, a tag, a pull request or a whole commit id."""
        names = {**self.commits_by_id(), **self.tags, **self.branches}
        names |= {f"refs/pr/{number}": commit for number, commit in self.pulls.items()}
        names |= {f"refs/heads/{name}": commit for name, commit in self.branches.items()}
        names |= {f"refs/tags/{name}": commit for name, commit in self.tags.items()}
        if revision not in names:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[names[revision]]

    def commits_by_id(self) -> dict[str, str]:
        return {commit: commit for commit in self.commits}

    def find(self, path: str, revision: str = "main") -> tuple[Commit, Blob]:
        """A file and the commit it was found in."""
        commit = self.resolve(revision)
        if path not in commit.files:
            raise HubError(404, "Entry not found", "EntryNotFound", commit.id)
        return commit, commit.files[path]

    def commit(
        self,
        revision: str,
        changes: Mapping[str, Blob | None],
        *,
        title: str,
        message: str = "",
        parent: str | None = None,
        pull_request: bool = False,
    ) -> tuple[Commit, int | None]:
        """Add a commit to a branch or a pull request; ``None`` deletes a file.

        Returns the commit and the number of the pull request that was opened for it.
        """
        base = self.resolve(revision) if self.commits else None
        if parent is not None and base is not None and base.id != parent:
            raise HubError(
                412,
                f"A commit has happened since {parent}: the head of {revision} is {base.id}. "
                "Please refresh and try again.",
            )
        files = dict(base.files) if base else {}
        for path, blob in changes.items():
            if blob is not None:
                files[path] = blob
            elif files.pop(path, None) is None:
                raise HubError(
                    404, f'A file with the name "{path}" doesn\'t exist', "EntryNotFound"
                )
        listing = "\n".join(f"{path} {blob.git_oid}" for path, blob in sorted(files.items()))
        text = f"{self.id}\nparent {base.id if base else None}\n{title}\n{message}\n{listing}"
        made = Commit(
            git_sha1(text.encode(), "commit"),
            base.id if base else None,
            files,
            title,
            message,
            now(),
        )
        number = None
        if pull_request:
            number = self.open_pull(title, made.id)
        elif revision in self.branches or base is None:
            self.branches[revision] = made.id
        elif revision.startswith("refs/pr/"):
            self.pulls[int(revision.removeprefix("refs/pr/"))] = made.id
        else:
            raise HubError(400, f"{revision} is neither a branch nor a pull request")
        self.commits[made.id] = made
        return made, number

    def open_pull(self, title: str, commit: str) -> int:
        """Open a pull request whose head is a commit; its number."""
        number = len(self.pulls) + 1
        self.pulls[number] = commit
        self.pull_titles[number] = title
        return number

    def history(self, revision: str = "main") -> list[Commit]:
        """The commits up to a revision, newest first."""
        commit: Commit | None = self.resolve(revision)
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.commits[commit.parent] if commit.parent else None
        return found

    def last_change(self, path: str, revision: str) -> Commit:
        """The newest commit that changed a file or something in a folder."""

        def state(commit: Commit) -> object:
            return {
                name: blob.git_oid
                for name, blob in commit.files.items()
                if name == path or name.startswith(f"{path}/")
            }

        commits = self.history(revision)
        for commit, older in pairwise(commits):
            if state(commit) != state(older):
                return commit
        return commits[-1]

    def name_reference(self, kind: str, name: str, revision: str) -> None:
        """Create a tag or a branch."""
        references = self.tags if kind == "tag" else self.branches
        if name in references:
            raise HubError(409, f"Reference already exists: {name}")
        if kind == "branch" and name.startswith("refs/"):
            raise HubError(400, f"Invalid reference for a branch: {name}")
        references[name] = self.resolve(revision).id

    def drop_reference(self, kind: str, name: str) -> None:
        """Delete a tag or a branch."""
        references = self.tags if kind == "tag" else self.branches
        if references.pop(name, None) is None:
            raise HubError(404, f"Reference not found: {name}", "RevisionNotFound")

    def card(self, commit: Commit) -> dict[str, Any]:
        """The metadata at the top of a commit's README.md."""
        readme = commit.files.get("README.md")
        if readme is None:
            return {}
        metadata, _ = cards.read(readme.content.decode("utf-8", "replace"))
        return metadata or {}

    def labels(self, commit: Commit) -> list[str]:
        """The tags that the Hub shows and filters by."""
        safetensors = any(path.endswith(".safetensors") for path in commit.files)
        return (["safetensors"] if safetensors else []) + cards.labels(self.card(commit))


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Store:
    """All repositories, and the LFS objects that were uploaded."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}

    def create(self, repo_id: str, **settings: Any) -> Repo:
        """Create a repository with the first commit that the Hub makes."""
        self.repos[repo_id] = Repo(repo_id, **settings)
        return self.repos[repo_id]
