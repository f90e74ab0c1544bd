"""Which items may be recommended: candidates, and exclusions for everyone or for single users."""

import logging
from collections.abc import Sequence, Set
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

logger = logging.getLogger("seqzoo")

Exclusions: TypeAlias = Sequence[str] | Sequence[Sequence[str]]
"""Item ids that are not recommended to anyone, or a list of ids for each user."""

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
    """

    k: int
    allowed: Indices | None
    excluded: list[Indices] | None

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
        if self.allowed is None:
            ranking = ranking[: self.k + len(left_out)]
        else:
            ranking = ranking[np.isin(ranking, self.allowed)][: self.k + len(left_out)]
        first: list[int] = ranking[~np.isin(ranking, left_out)][: self.k].tolist()
        return first


def read_choice(
    vocabulary: Vocabulary,
    users: int,
    k: int,
    candidates: Sequence[str] | None,
    exclude: Exclusions | None,
    on_unknown: str,
) -> Choice:
    """Check what may be recommended, and turn ids into indices.

    Args:
        vocabulary: of the model.
        users: how many users there are.
        k: number of items, 1 to the size of the catalogue.
        candidates: ids of the items to choose from; None for all.
        exclude: ids to leave out for everyone, or a list of ids for each user.
        on_unknown: ``skip`` ignores ids that the model does not know, ``error`` raises.

    Raises:
        UnknownItemError: no candidate is known, or an id is unknown and ``on_unknown`` is
            ``error``.
        UsageError: ``k`` is out of range, or the ids are not lists of strings.
    """
    whole_number("k", k, 1, len(vocabulary), ", the number of items of the model")
    one_of("on_unknown", on_unknown, ON_UNKNOWN)

    def known(what: str, given: Any) -> Indices:
        ids = list_of(what, "item ids", list(given) if isinstance(given, Set) else given)
        indices, unknown = vocabulary.encode(ids)
        if what == "candidates" and not len(indices):
            refuse_unknown(vocabulary, what, unknown)
        if unknown:
            if on_unknown == "error":
                refuse_unknown(vocabulary, what, unknown)
            logger.info("%s the model does not know: %s", what, listing(unknown, _SHOWN))
        return indices.astype(np.int64)

    given = None
    if exclude is not None:
        given = list_of("exclude", "ids", list(exclude) if isinstance(exclude, Set) else exclude)
    excluded = None
    if given is not None and not all(isinstance(ids, str) for ids in given):
        excluded, given = [known("exclude", ids) for ids in given], None
        if len(excluded) != users:
            raise UsageError(
                f"exclude has {len(excluded)} lists for {users} users; give one list of item ids "
                "for each user, or item ids to leave out for everyone"
            )
    if candidates is None and not given:
        return Choice(k, None, excluded)
    allowed = np.zeros(len(vocabulary) + 1, dtype=bool)
    allowed[slice(1, None) if candidates is None else known("candidates", candidates)] = True
    if given:
        allowed[known("exclude", given)] = False
    return Choice(k, np.flatnonzero(allowed), excluded)
