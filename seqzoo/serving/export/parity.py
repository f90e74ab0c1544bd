"""How far an exported folder is from the model, on example histories."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.interfaces import SequenceBatch
from seqzoo.serving.export.runner import Recommender

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

_LENGTHS = (1, 2, 9, 50, 200)
_STREAMED = 12


def max_difference(model: "SequenceModel", folder: str) -> float:
    """The largest difference of user vectors and scores, relative to the largest value.

    Histories of several lengths are compared alone and padded together, one event at a time too
    where the folder can, and the scores of the best items.
    """
    runner = Recommender(folder)
    generator = np.random.default_rng(0)
    longest = min(model.max_length, 2000)
    lengths = sorted({min(length, longest) for length in (*_LENGTHS, longest)})
    rows = [generator.integers(1, len(model.vocabulary) + 1, size=n).tolist() for n in lengths]
    times = [
        (1_000_000_000 + generator.integers(0, 10**6, size=n).cumsum()).tolist() for n in lengths
    ]
    batches = [([row], [own]) for row, own in zip(rows, times, strict=True)] + [(rows, times)]
    found = 0.0
    for some, stamps in batches:
        batch = SequenceBatch.from_histories(some, stamps if runner.uses_time else None)
        expected = model.read(batch)
        found = max(found, _difference(runner._encode(some, stamps), expected.numpy()))
        found = max(found, _scores(model, runner, expected))
    if runner.manifest["streaming"]:
        found = max(found, _streamed(model, runner, rows[-1], times[-1]))
    return found


def _scores(model: "SequenceModel", runner: Recommender, vectors: torch.Tensor) -> float:
    k = min(10, len(model.vocabulary))
    expected = model.head.topk(vectors, k)[0].numpy()
    ranked = runner._rank(vectors.numpy(), k, None, ())
    found = 0.0
    for own, row in zip(ranked, expected, strict=True):
        finite = row[row != -np.inf]
        if len(own) != len(finite):
            return float("inf")
        found = max(found, _difference(np.array([score for _, score in own]), finite))
    return found


def _streamed(
    model: "SequenceModel", runner: Recommender, items: list[int], times: list[int]
) -> float:
    """The largest difference between the two sessions after each of a few events."""
    session, other = model.session(), runner.session()
    found = 0.0
    for index, time in zip(items[:_STREAMED], times, strict=False):
        item = model.vocabulary.item(index)
        stamp = time if runner.uses_time else None
        session.observe(item, stamp)
        other.observe(item, stamp)
        found = max(found, _difference(other.vector, session.hidden.numpy()))
    return found


def _difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    if not expected.size:
        return 0.0
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))
