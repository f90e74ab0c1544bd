"""The check of a head that learns in one pass."""

import copy
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqzoo.data.sequences import Sequences
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.probes import example_batch, last_of, require_equal

__all__ = ["check_fit"]

_USERS = 25


def check_fit(model: SequenceModel) -> None:
    """A head in closed form learns from ``fit``, the same each time, and all of it is saved.

    Its scores are finite, depend on the histories it was given and on no earlier ones, and are the
    same for one history alone, in a batch and in blocks of candidates.
    """
    if not model.head.closed_form:
        return
    fresh, model = _scores(model), copy.deepcopy(model)
    one, other = (_histories(len(model.vocabulary), seed) for seed in (1, 2))
    model.head.fit(one)
    first = _scores(model)
    if not bool(first.isfinite().all()):
        raise ConformanceError("fit: scores are NaN or infinite after it")
    if torch.equal(first, fresh):
        raise ConformanceError("fit: it changes no score; keep what it learns in buffers")
    model.head.fit(other)
    second = _scores(model)
    if torch.equal(first, second):
        raise ConformanceError("fit: other histories give the same scores")
    model.head.fit(one)
    if not torch.equal(_scores(model), first):
        raise ConformanceError(
            "fit: scores after a second fit on the same histories differ; start from nothing, and "
            "use a fixed seed for what is random"
        )
    batch = example_batch(model)
    hidden = last_of(model, batch)
    with torch.inference_mode():
        for row in range(len(hidden)):
            require_equal(
                model.head(hidden[row : row + 1]),
                first[row : row + 1],
                f"fit: history {row} gets different scores alone and in a batch",
            )
        some = torch.arange(1, len(model.vocabulary) + 1, 2, device=hidden.device)
        blocks = [scores for _, scores in model.head.score_blocks(hidden, some)]
    require_equal(
        torch.cat(blocks, 1), first[:, some], "fit: score_blocks of some items differs from forward"
    )
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "model")
        again = SequenceModel.from_pretrained(Path(folder) / "model").to(model.device)
    if not torch.equal(_scores(again), first):
        raise ConformanceError(
            "fit: a loaded model scores differently; keep what it learns in buffers that are saved"
        )


def _histories(num_items: int, seed: int) -> Sequences:
    """Random histories of some of the items, with repeats and increasing timestamps."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 9, _USERS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = generator.integers(1, max(2, num_items - seed), offsets[-1]).astype(np.int32)
    timestamps = 1_000_000_000 + generator.integers(0, 100_000, len(items)).cumsum()
    return Sequences(items, timestamps.astype(np.int64), offsets)


def _scores(model: SequenceModel) -> Tensor:
    """Scores of all items after some histories [B, V + 1]."""
    with torch.inference_mode():
        scores: Tensor = model.head(last_of(model, example_batch(model)))
    return scores
