"""Where the held-out item of each user stands among all candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.data.batches import evaluation_batches
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.errors import DataError
from seqzoo.model.sequence_model import SequenceModel

Gain = Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Ranks:
    """The standing of M targets among C candidates.

    Attributes:
        better: candidates with a higher score [M].
        tied: candidates with the target's score, itself included [M].
        candidates: size of the catalogue.
    """

    better: npt.NDArray[np.int64]
    tied: npt.NDArray[np.int64]
    candidates: int

    @property
    def mean_rank(self) -> npt.NDArray[np.float64]:
        """Rank from 1 with ties counted half [M]."""
        return self.better + (self.tied + 1) / 2

    def mean_gain(self, gain: Gain, cutoff: int) -> npt.NDArray[np.float64]:
        """The metric of each target [M], averaged over the places that its tie could take."""
        places = np.arange(1, self.candidates + 1, dtype=np.float64)
        total = np.concatenate([[0.0], np.cumsum(gain(places, cutoff))])
        values: npt.NDArray[np.float64] = (
            total[self.better + self.tied] - total[self.better]
        ) / self.tied
        return values


def rank_targets(
    model: SequenceModel,
    sequences: Sequences,
    split: Split,
    *,
    remove_seen: Sequence[bool],
    window: int | None = None,
    batch_size: int = 128,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Ranks]:
    """Rank the target of every row of a split, once for each setting of ``remove_seen``.

    Args:
        model: what scores; it is put into evaluation mode.
        sequences: data encoded with the model's vocabulary.
        split: histories and targets.
        remove_seen: for each wanted result, whether history items stop being candidates.
        window: how many of the newest events are read; the model's own where None.
        batch_size: histories scored at once.
        advance: called with the number of rows done, for a progress bar.

    Raises:
        DataError: the model gives a score that is not a number.
    """
    model.eval()
    better = np.zeros((len(remove_seen), len(split)), dtype=np.int64)
    tied = np.zeros_like(better)
    length = min(window or model.max_length, model.max_length)
    for rows, batch in evaluation_batches(sequences, split, length, batch_size):
        with torch.inference_mode():
            scores = model.head(model.last(batch.histories.to(model.device))).float()
            targets = batch.targets.to(scores.device)[:, None]
            wanted = scores.gather(1, targets)
            if bool(scores.isnan().any()):
                raise DataError("the model gives scores that are not numbers; train it again")
            # What is no candidate compares with nothing, not even with a target of minus infinity.
            scores[:, 0] = torch.nan
            # Removing only ever takes more away, so the settings share one pass.
            for index in sorted(range(len(remove_seen)), key=lambda index: remove_seen[index]):
                if remove_seen[index]:
                    scores[batch.seen[0].to(scores.device), batch.seen[1].to(scores.device)] = (
                        torch.nan
                    )
                    scores.scatter_(1, targets, wanted)
                better[index, rows] = (scores > wanted).sum(1).cpu().numpy()
                tied[index, rows] = (scores == wanted).sum(1).cpu().numpy()
        advance(len(rows))
    items = len(model.vocabulary)
    return [Ranks(better[index], tied[index], items) for index in range(len(remove_seen))]


def summarise(ranks: Ranks, gains: dict[str, Gain], cutoffs: Sequence[int]) -> dict[str, float]:
    """Mean over users of every metric at every cutoff: ``{"hit@10": ...}``."""
    return {
        f"{name}@{cutoff}": float(ranks.mean_gain(gain, cutoff).mean())
        for name, gain in gains.items()
        for cutoff in cutoffs
    }
