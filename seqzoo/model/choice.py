"""Which items may be recommended: candidates, and exclusions for everyone or for single users."""

import logging
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UsageError
from seqzoo.model.histories import ON_UNKNOWN, refuse_unknown
from seqzoo.storage.messages import listing
from seqzoo.validation import list_of, one_of, whole_number

__all__ = ["Candidates", "Choice", "Exclusions", "Indices", "Seen", "read_choice"]

logger = logging.getLogger("seqzoo")

Exclusions: TypeAlias = Sequence[str] | Sequence[Sequence[str]]
"""Item ids that are not recommended to anyone, or a list of ids for each user."""

Candidates: TypeAlias = Sequence[str] | Sequence[Sequence[str]]
"""Item ids to choose from for everyone, or a list of ids for each user."""

Indices: TypeAlias = npt.NDArray[np.int64]

Seen: TypeAlias = Sequence[Sequence[int] | npt.NDArray[np.int32]]
"""Indices of the items that each user has interacted with."""

_SHOWN = 5


@dataclass(frozen=True)
class Choice:
    """The number of items for each user, and the items to choose from.

    Attributes:
        k: number of items.
        allowed: indices of the items to choose from, ascending [C]; None for all items.
        excluded: indices of the items to leave out for each user; None if nothing was given.
        allowed_of: indices of the items to choose from for each user, ascending; None if all users
            choose from ``allowed``.
    """

    k: int
    allowed: Indices | None
    excluded: list[Indices] | None
    allowed_of: list[Indices] | None = None

    def groups(self, users: Sequence[int]) -> "Iterator[tuple[list[int], Choice]]":
        """Positions among ``users`` with the same items to choose from, and their choice."""
        if self.allowed_of is None:
            yield list(range(len(users))), self
            return
        same: dict[bytes, list[int]] = {}
        for position, user in enumerate(users):
            same.setdefault(self.allowed_of[user].tobytes(), []).append(position)
        for positions in same.values():
            allowed = self.allowed_of[users[positions[0]]]
            yield positions, Choice(self.k, allowed, self.excluded)

    def pairs(self, users: Sequence[int], seen: Seen | None) -> tuple[Tensor, Tensor] | None:
        """What must not be recommended to some of the users: row and item indices [E], [E].

        Args:
            users: the user of each row.
            seen: item indices of each row's history, to leave out too; None to keep them.
        """
        groups: list[Any] = [] if seen is None else [seen]
        if self.excluded is not None:
            groups.append([self.excluded[user] for user in users])
        if not groups or not users:
            return None
        each = [np.asarray(items, dtype=np.int64) for group in groups for items in group]
        rows = np.tile(np.arange(len(users)), len(groups))
        return (
            torch.from_numpy(np.repeat(rows, [len(items) for items in each])),
            torch.from_numpy(np.concatenate(each)),
        )

    def first(self, ranking: Indices, user: int) -> list[int]:
        """The first ``k`` items of a ranking [V] of all items that the user may get."""
        left_out = self.excluded[user] if self.excluded is not None else ()
        allowed = self.allowed if self.allowed_of is None else self.allowed_of[user]
        if allowed is None:
            ranking = ranking[: self.k + len(left_out)]
        else:
            ranking = ranking[np.isin(ranking, allowed)][: self.k + len(left_out)]
        first: list[int] = ranking[~np.isin(ranking, left_out)][: self.k].tolist()
        return first


def read_choice(
    vocabulary: Vocabulary,
    users: int,
    k: int,
    candidates: Candidates | None,
    exclude: Exclusions | None,
    on_unknown: str,
) -> Choice:
    """Check what may be recommended, and turn ids into indices.

    Args:
        vocabulary: the vocabulary of the model.
        users: how many users there are.
        k: number of items, 1 to the size of the catalogue.
        candidates: ids of the items to choose from for everyone, or a list of ids for each user;
            None for all.
        exclude: ids to leave out for everyone, or a list of ids for each user.
        on_unknown: ``skip`` ignores ids that the model does not know, ``error`` raises.

    Raises:
        UnknownItemError: no candidate for everyone is known, or an id is unknown and
            ``on_unknown`` is ``error``.
        UsageError: ``k`` is out of range, or the ids are not lists of strings.
    """
    whole_number("k", k, 1, len(vocabulary), ", the number of items of the model")
    one_of("on_unknown", on_unknown, ON_UNKNOWN)

    def known(what: str, given: Any) -> Indices:
        ids = list_of(what, "item ids", list(given) if isinstance(given, Set) else given)
        indices, unknown = vocabulary.encode(ids)
        if unknown:
            if on_unknown == "error":
                refuse_unknown(vocabulary, what, unknown)
            logger.info("%s the model does not know: %s", what, listing(unknown, _SHOWN))
        return indices.astype(np.int64)

    for_all, of_user = _by_user("exclude", exclude, users)
    excluded = None if of_user is None else [known("exclude", ids) for ids in of_user]
    wanted, wanted_of = _by_user("candidates", candidates, users)
    if wanted is None and wanted_of is None and not for_all:
        return Choice(k, None, excluded)
    out = known("exclude", for_all) if for_all else np.zeros(0, dtype=np.int64)
    if wanted_of is not None:
        each = [np.setdiff1d(known("candidates", ids), out) for ids in wanted_of]
        return Choice(k, None, excluded, each)
    allowed = np.zeros(len(vocabulary) + 1, dtype=bool)
    if wanted is None:
        allowed[1:] = True
    else:
        indices = known("candidates", wanted)
        if not len(indices):
            refuse_unknown(vocabulary, "candidates", wanted)
        allowed[indices] = True
    allowed[out] = False
    return Choice(k, np.flatnonzero(allowed), excluded)


def _by_user(what: str, given: Any, users: int) -> tuple[list[Any] | None, list[Any] | None]:
    """The ids for everyone, or the lists for each user; None where they are not given.

    Raises:
        UsageError: there is another number of lists than of users.
    """
    if given is None:
        return None, None
    ids = list_of(what, "ids", list(given) if isinstance(given, Set) else given)
    if all(isinstance(each, str) for each in ids):
        return ids, None
    lists = [list_of(what, "item ids", list(x) if isinstance(x, Set) else x) for x in ids]
    if len(ids) != users:
        verb = "leave out" if what == "exclude" else "choose from"
        raise UsageError(
            f"{what} has {len(ids)} lists for {users} users; give one list of item ids "
            f"for each user, or item ids to {verb} for everyone"
        )
    return None, lists
