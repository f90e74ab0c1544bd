"""The scan of quantised vectors by the compiled kernels; see ``int8.c``.

Shapes in brackets: V items, E width, B users, P parts of the items.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops.int8 import Found, Quantised
from seqzoo.ops.native.library import call

__all__ = ["NativeInt8Table"]

_GROUP = 16
"""Items whose codes are interleaved, four of each at a time."""
_OFFSET = 64
_FEWEST, _FACTOR = 2**12, 4
"""Room for each user: this many items, or this many times the wanted ones if that is more."""
_USERS = 64
"""Users of a call, for whom memory is reserved."""
_PART = 2**14
"""Fewest items of a part, which is the work of a thread."""

_SIZES = ("items", "width", "users", "wanted", "parts", "capacity", "threads")
_POINTERS = (
    *("codes", "scales", "errors", "lengths"),
    *("user_codes", "user_scales", "user_lengths", "user_errors"),
    *("excluded", "excluded_from", "lowest", "found", "lower", "upper", "counts"),
)


class _Table(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


class NativeInt8Table:
    """An ``Int8Table`` for the compiled kernels.

    Args:
        items: quantised vectors.
    """

    def __init__(self, items: Quantised) -> None:
        self._count, width = items.codes.shape
        missing = -self._count % _GROUP
        codes = functional.pad(items.codes + _OFFSET, (0, -width % 4, 0, missing), value=_OFFSET)
        self._width = codes.shape[1]
        groups = codes.view(-1, _GROUP, self._width // 4, 4)
        self._tensors = {"codes": groups.transpose(1, 2).contiguous()}
        for name in ("scales", "errors", "lengths"):
            self._tensors[name] = functional.pad(
                getattr(items, name).float(), (0, missing)
            ).contiguous()

    def candidates(
        self, users: Quantised, k: int, excluded: Sequence[Tensor]
    ) -> list[Found | None]:
        """What may belong to the best of each user."""
        found: list[Found | None] = []
        for first in range(0, len(users.codes), _USERS):
            part = slice(first, first + _USERS)
            found += self._of_some(
                Quantised(
                    users.codes[part], users.scales[part], users.errors[part], users.lengths[part]
                ),
                k,
                excluded[part],
            )
        return found

    def _of_some(self, users: Quantised, k: int, excluded: Sequence[Tensor]) -> list[Found | None]:
        count, threads = len(users.codes), torch.get_num_threads()
        parts = max(1, min(threads, self._count // _PART))
        capacity = max(_FEWEST, _FACTOR * k)
        gone = [items.sort().values for items in excluded]
        ends = torch.tensor([0, *map(len, gone)]).cumsum(0)
        # Kept until the call returns.
        tensors = {
            **self._tensors,
            "user_codes": functional.pad(
                users.codes, (0, self._width - users.codes.shape[1])
            ).contiguous(),
            "user_scales": users.scales.float().contiguous(),
            "user_lengths": users.lengths.float().contiguous(),
            "user_errors": users.errors.float().contiguous(),
            "excluded": torch.cat(gone),
            "excluded_from": ends,
            "lowest": torch.empty(parts, count, k),
            "found": torch.empty(parts, count, capacity, dtype=torch.int64),
            "lower": torch.empty(parts, count, capacity),
            "upper": torch.empty(parts, count, capacity),
            "counts": torch.empty(parts, count, dtype=torch.int64),
        }
        arguments = _Table(
            self._count,
            self._width,
            count,
            k,
            parts,
            capacity,
            threads,
            **{name: tensors[name].data_ptr() for name in _POINTERS},
        )
        call("seqzoo_int8_scan", ctypes.byref(arguments))
        return [
            self._joined(tensors, user, counts, k)
            for user, counts in enumerate(tensors["counts"].T.tolist())
        ]

    def _joined(
        self, tensors: dict[str, Tensor], user: int, counts: list[int], k: int
    ) -> Found | None:
        """What all parts have found for one user; each knew only the lower bounds of its own."""
        if min(counts) < 0:
            return None
        every = Found(
            *(
                torch.cat([tensors[name][p, user, :count] for p, count in enumerate(counts)])
                for name in ("found", "lower", "upper")
            )
        )
        if len(every.lower) < k:
            return every
        reached = every.upper >= every.lower.topk(k).values[-1]
        return Found(*(values[reached] for values in every))
