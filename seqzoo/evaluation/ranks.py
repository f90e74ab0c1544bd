"""The rank of each user's held-out item among all candidates, and the metrics of that rank."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.data.batches import evaluation_batches
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.errors import DataError
from seqzoo.evaluation.held_out import HeldOut
from seqzoo.evaluation.protocol import Protocol
from seqzoo.model.inference import inference
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue

Floats = npt.NDArray[np.float64]
Gain = Callable[[Floats, int], Floats]


@dataclass(frozen=True)
class Ranks:
    """The ranks of M targets among C candidates.

    Attributes:
        better: candidates with a higher score [M].
        tied: candidates with the target's score, itself included [M].
        candidates: size of the catalogue.
    """

    better: npt.NDArray[np.int64]
    tied: npt.NDArray[np.int64]
    candidates: int

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
        batch_size: number of histories per batch.
        advance: called with the number of rows done, for a progress bar.

    Raises:
        DataError: the model gives a NaN score.
    """
    better = np.zeros((len(remove_seen), len(split)), dtype=np.int64)
    tied = np.zeros_like(better)
    length = min(window or model.max_length, model.max_length)
    for rows, batch in evaluation_batches(sequences, split, length, batch_size):
        with inference(model):
            scores = model.head(model.last(batch.histories.to(model.device))).float()
            targets = batch.targets.to(scores.device)[:, None]
            wanted = scores.gather(1, targets)
            if bool(scores.isnan().any()):
                raise DataError("the model gives NaN scores; train it again")
            # NaN compares false, so masked items never rank, not even against a target of -inf.
            scores[:, 0] = torch.nan
            # Seen items are masked last, so that one pass serves both settings.
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


def gains_by_user(
    model: SequenceModel,
    held_out: HeldOut,
    protocols: Sequence[Protocol],
    *,
    batch_size: int = 128,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[dict[str, Floats]]:
    """The metrics of each user under several protocols: ``{"hit@10": (U,)}`` for each of them.

    Protocols that read the same number of events share one pass over the users. Users whose history
    or held-out item the model does not know get 0 in every metric, as a miss.

    Args:
        model: the model.
        held_out: the data, read with the model's vocabulary.
        protocols: the protocols.
        batch_size: number of histories per batch.
        advance: called with the number of users done, for a progress bar.

    Raises:
        DataError: the model gives a NaN score.
    """
    gains: list[dict[str, Floats]] = [{} for _ in protocols]
    for window in sorted({protocol.window or 0 for protocol in protocols}):
        chosen = [i for i, protocol in enumerate(protocols) if (protocol.window or 0) == window]
        ranks = rank_targets(
            model,
            held_out.sequences,
            held_out.split,
            remove_seen=[protocols[index].remove_seen for index in chosen],
            window=window or None,
            batch_size=batch_size,
            advance=advance,
        )
        for index, found in zip(chosen, ranks, strict=True):
            for name in protocols[index].metrics:
                gain: Gain = catalogue().metrics.get(name).load()
                for cutoff in protocols[index].cutoffs:
                    values = np.zeros(held_out.users)
                    values[held_out.rows] = found.mean_gain(gain, cutoff)
                    gains[index][f"{name}@{cutoff}"] = values
    return gains


def means(
    gains: Mapping[str, Floats], users: npt.NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """The mean of every metric over all users, or over some of them; 0 if there are none."""
    chosen = gains if users is None else {key: values[users] for key, values in gains.items()}
    return {key: float(values.mean()) if len(values) else 0.0 for key, values in chosen.items()}
