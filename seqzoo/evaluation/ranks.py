"""The rank of each user's held-out item among all candidates, and the metrics of that rank."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqzoo.data.batches import evaluation_batches
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.errors import DataError
from seqzoo.evaluation.held_out import HeldOut
from seqzoo.evaluation.protocol import Protocol
from seqzoo.interfaces import Head
from seqzoo.model.inference import inference
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.ops.rank_counts import rank_counts
from seqzoo.plugins import catalogue
from seqzoo.topk import Pairs

__all__ = [
    "Floats",
    "Gain",
    "Ranks",
    "gains_by_user",
    "gains_of",
    "means",
    "rank_targets",
    "ranks_of",
]

Floats = npt.NDArray[np.float64]
Gain = Callable[[Floats, int], Floats]


@dataclass(frozen=True)
class Ranks:
    """The ranks of M targets among C candidates.

    Attributes:
        better: candidates with a higher score [M].
        tied: candidates with the target's score, itself included [M].
        candidates: size of the catalogue.
        lists: the items that are recommended for each target [M, K], the best first, 0 where fewer
            could be; None if they were not requested.
    """

    better: npt.NDArray[np.int64]
    tied: npt.NDArray[np.int64]
    candidates: int
    lists: npt.NDArray[np.int32] | None = None

    def mean_gain(self, gain: Gain, cutoff: int) -> Floats:
        """The metric of each target [M], averaged over the ranks that its tie could take."""
        ranks = np.arange(1, self.candidates + 1, dtype=np.float64)
        total = np.concatenate([[0.0], np.cumsum(gain(ranks, cutoff))])
        values: Floats = (total[self.better + self.tied] - total[self.better]) / self.tied
        return values


def rank_targets(
    model: SequenceModel,
    sequences: Sequences,
    split: Split,
    *,
    remove_seen: Sequence[bool],
    window: int | None = None,
    top: int = 0,
    batch_size: int = 128,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Ranks]:
    """Rank the target of every row of a split, once for each setting of ``remove_seen``.

    Args:
        model: the model; every module keeps its mode.
        sequences: data encoded with the model's vocabulary.
        split: histories and targets.
        remove_seen: for each result, whether history items are excluded from the candidates.
        window: number of newest events to read; None for the model's maximum.
        top: number of items to recommend for each target; 0 recommends none.
        batch_size: maximum number of histories per batch.
        advance: called with the number of rows done, for a progress bar.

    Raises:
        DataError: the model gives a NaN score.
    """
    better = np.zeros((len(remove_seen), len(split)), dtype=np.int64)
    tied = np.zeros_like(better)
    top = min(top, len(model.vocabulary))
    lists = [np.zeros((len(split), top), dtype=np.int32) for _ in remove_seen]
    length = min(window or model.max_length, model.max_length)
    for rows, batch in evaluation_batches(sequences, split, length, batch_size, model.device):
        with inference(model):
            hidden = model.read(batch.histories.to(model.device))
            seen = (batch.seen[0].to(hidden.device), batch.seen[1].to(hidden.device))
            found = _ranks(model.head, hidden, batch.targets.to(hidden.device), seen, remove_seen)
            better[:, rows], tied[:, rows] = found.cpu().numpy()
            for index, removes in enumerate(remove_seen if top else ()):
                scores, items = model.head.topk(hidden, top, seen if removes else None)
                items[scores == -torch.inf] = 0
                lists[index][rows] = items.cpu().numpy()
        advance(len(rows))
    size = len(model.vocabulary)
    return [
        Ranks(better[index], tied[index], size, lists[index] if top else None)
        for index in range(len(remove_seen))
    ]


def _ranks(
    head: Head,
    hidden: Tensor,
    targets: Tensor,
    seen: tuple[Tensor, Tensor],
    remove_seen: Sequence[bool],
) -> Tensor:
    """Number of better and of tied candidates for each setting and row [2, S, B].

    The scores of one block of items at a time are held. The target's score is taken from its block
    and not computed separately, because the rounding could differ and break a tie.
    """
    wanted = hidden.new_zeros(len(hidden), 1, dtype=torch.float32)
    own, removed = Pairs(torch.arange(len(hidden), device=hidden.device), targets), Pairs(*seen)
    blocks = head.score_blocks(hidden)
    first = next(blocks)
    for start, scores in chain([first], blocks):
        rows, columns = own.within(start, start + scores.shape[1])
        wanted[rows, 0] = scores[rows, columns].float()
    only = first[1].shape[1] == start + scores.shape[1]
    nan = DataError("the model gives NaN scores; train it again")
    counts = torch.zeros(2, len(remove_seen), len(hidden), dtype=torch.int64, device=hidden.device)
    for start, block in [first] if only else head.score_blocks(hidden):
        scores = block.float()
        if not start:
            if bool(scores[:, 0].isnan().any()):
                raise nan
            # NaN compares false, so padding never ranks, not even against a target of -inf.
            scores[:, 0] = torch.nan
        width = scores.shape[1]
        column = targets - start
        column[(column < 0) | (column >= width)] = -1
        seen_here = removed.within(start, start + width)
        found, nans = rank_counts(scores, wanted[:, 0], column, *seen_here)
        if bool((nans > (not start)).any()):
            raise nan
        counts += found[list(map(int, remove_seen))].transpose(0, 1)
    return counts


def ranks_of(
    model: SequenceModel,
    held_out: HeldOut,
    protocols: Sequence[Protocol],
    *,
    lists: bool = False,
    batch_size: int = 128,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Ranks]:
    """The ranks of the targets that can be ranked, for each of several protocols.

    Protocols that read the same number of events share one pass over the targets.

    Args:
        model: the model.
        held_out: the data, read with the model's vocabulary.
        protocols: the protocols.
        lists: also recommend as many items for each target as the largest cutoff.
        batch_size: maximum number of histories per batch.
        advance: called with the number of targets done, for a progress bar.

    Raises:
        DataError: the model gives a NaN score, or the data lack what it reads.
    """
    found: dict[int, Ranks] = {}
    sequences = model.reads.of_data(held_out.data, held_out.sequences)
    for window in sorted({protocol.window or 0 for protocol in protocols}):
        chosen = [i for i, protocol in enumerate(protocols) if (protocol.window or 0) == window]
        ranks = rank_targets(
            model,
            sequences,
            held_out.split,
            remove_seen=[protocols[index].remove_seen for index in chosen],
            window=window or None,
            top=max(max(protocols[index].cutoffs) for index in chosen) if lists else 0,
            batch_size=batch_size,
            advance=advance,
        )
        found.update(zip(chosen, ranks, strict=True))
    return [found[index] for index in range(len(protocols))]


def gains_of(ranks: Ranks, held_out: HeldOut, protocol: Protocol) -> dict[str, Floats]:
    """The metrics of each target under a protocol: ``{"hit@10": (T,)}``.

    Targets that the model does not know, and those in whose history it knows nothing, get 0 in
    every metric, as a miss.
    """
    gains = {}
    for name in protocol.metrics:
        gain: Gain = catalogue().metrics.get(name).load()
        for cutoff in protocol.cutoffs:
            values = np.zeros(held_out.targets)
            values[held_out.rows] = ranks.mean_gain(gain, cutoff)
            gains[f"{name}@{cutoff}"] = values
    return gains


def gains_by_user(
    model: SequenceModel,
    held_out: HeldOut,
    protocols: Sequence[Protocol],
    *,
    batch_size: int = 128,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[dict[str, Floats]]:
    """``gains_of`` the ranks under each of several protocols; arguments as ``ranks_of``."""
    ranks = ranks_of(model, held_out, protocols, batch_size=batch_size, advance=advance)
    return [
        gains_of(found, held_out, protocol)
        for found, protocol in zip(ranks, protocols, strict=True)
    ]


def means(
    gains: Mapping[str, Floats], targets: npt.NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """The mean of every metric over all targets, or over some of them; 0 if there are none."""
    chosen = gains if targets is None else {key: values[targets] for key, values in gains.items()}
    return {key: float(values.mean()) if len(values) else 0.0 for key, values in chosen.items()}
