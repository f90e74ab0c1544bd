"""How many scores are higher than, and equal to, one score of their row.

Shapes in brackets: B rows, n columns, E pairs of a row and a column.
"""

import torch
from torch import Tensor

from seqzoo.ops.backends import compiled, in_torch, register, run
from seqzoo.ops.native.rank_counts import rank_counts_limits

__all__ = ["rank_counts", "torch_rank_counts"]


def rank_counts(
    scores: Tensor, wanted: Tensor, own: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Count the scores of each row that are higher than the wanted one, and those that equal it.

    Args:
        scores: [B, n], float32; those of the pairs may be overwritten. NaN is neither higher nor
            equal.
        wanted: [B].
        own: column of the wanted score in each row [B], -1 where it is not among them; it is never
            left out.
        rows: of the pairs [E].
        columns: of the pairs [E]; a pair may be there several times.

    Returns:
        Counts [2, 2, B], int64: of all scores, and of those without the pairs; higher and equal.
        And the number of NaN among all scores of each row [B].
    """
    found: tuple[Tensor, Tensor] = run("rank-counts", None, scores, wanted, own, rows, columns)
    return found


def torch_rank_counts(
    scores: Tensor, wanted: Tensor, own: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """``rank_counts`` in PyTorch."""
    nans = scores.isnan().sum(1)
    wanted = wanted[:, None]
    counts = [(scores > wanted).sum(1), (scores == wanted).sum(1)]
    others = columns != own[rows]
    scores[rows[others], columns[others]] = torch.nan
    counts += [(scores > wanted).sum(1), (scores == wanted).sum(1)]
    return torch.stack(counts).view(2, 2, -1), nans


register(
    compiled("rank-counts", "seqzoo.ops.native.rank_counts:native_rank_counts", rank_counts_limits),
    in_torch("rank-counts", "seqzoo.ops.rank_counts:torch_rank_counts"),
)
