"""The counts of ranks by the compiled kernels; see ``rank_counts.c``."""

import ctypes

import torch
from torch import Tensor

from seqzoo.ops.native.library import call, limits, unexpected_shape, wrong_dimensions

__all__ = ["native_rank_counts", "rank_counts_limits"]

_SIZES = ("rows", "columns", "pairs", "threads")
_POINTERS = ("scores", "wanted", "own", "pair_rows", "pair_columns", "counts", "nans")


class _RankCounts(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


def rank_counts_limits(
    scores: Tensor, wanted: Tensor, own: Tensor, rows: Tensor, columns: Tensor
) -> str:
    """Why the kernel cannot count these scores: not float32, not contiguous, or other shapes."""
    if scores.dtype != torch.float32 or not scores.is_contiguous():
        return "the kernel takes contiguous float32"
    return (
        limits(scores, wanted)
        or wrong_dimensions(scores, 2)
        or unexpected_shape(
            wanted=(wanted.shape, scores.shape[:1]),
            own=(own.shape, scores.shape[:1]),
            columns=(columns.shape, rows.shape),
        )
    )


def native_rank_counts(
    scores: Tensor, wanted: Tensor, own: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """``seqzoo.ops.rank_counts`` by the compiled kernel."""
    counts = torch.empty(2, 2, len(scores), dtype=torch.int64)
    nans = torch.empty(len(scores), dtype=torch.int64)
    # Kept until the call returns: a copy has no other owner.
    wanted = wanted.float().contiguous()
    indices = [each.to(torch.int64).contiguous() for each in (own, rows, columns)]
    tensors = (scores, wanted, *indices, counts, nans)
    arguments = _RankCounts(
        *scores.shape,
        len(rows),
        torch.get_num_threads(),
        *(tensor.data_ptr() for tensor in tensors),
    )
    call("seqzoo_rank_counts", ctypes.byref(arguments))
    return counts, nans
