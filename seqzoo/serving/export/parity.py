"""How far an exported folder is from the model, on example histories."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from seqzoo.interfaces import SequenceBatch
from seqzoo.serving.export.runner import Recommender

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["Parity", "parity"]

_LENGTHS = (1, 2, 9, 50, 200)
_STREAMED = 12
_WAIT = 5_000
"""Seconds between the newest event and a request."""
_USERS, _EVENTS = 256, 20
_BATCH = 32
"""Users that are read at once: some models compute all positions of their longest history."""


@dataclass(frozen=True)
class Parity:
    """How far exported files are from the model.

    Attributes:
        max_difference: largest difference of user vectors and scores, relative to the largest
            value.
        agreement: share of the model's 10 best items that are among the files' 10 best.
    """

    max_difference: float
    agreement: float


def parity(model: "SequenceModel", folder: str, *, programs: bool = False) -> Parity:
    """Compare an exported folder with the model on example histories.

    Histories of several lengths are compared alone and padded together, one event at a time too
    where the folder can, with requests some time later where that counts, and the scores of the
    best items.

    Args:
        model: the model.
        folder: what was exported.
        programs: compare the ``torch.export`` programs in it, not the ONNX files.
    """
    runner = Recommender(folder)
    if programs:
        _use_programs(runner)
    generator = np.random.default_rng(0)
    items = len(model.vocabulary)
    longest = min(model.max_length, 2000)
    lengths = sorted({min(length, longest) for length in (*_LENGTHS, longest)})
    rows = [generator.integers(1, items + 1, size=n).tolist() for n in lengths]
    times = [
        (1_000_000_000 + generator.integers(0, 10**6, size=n).cumsum()).tolist() for n in lengths
    ]
    batches = [([row], [own]) for row, own in zip(rows, times, strict=True)] + [(rows, times)]
    found = 0.0
    for some, stamps in batches:
        expected = _encoded(model, some, stamps if runner.uses_time else None)
        found = max(found, _difference(runner._encode(some, stamps), expected.numpy()))
        found = max(found, _scores(model, runner, expected))
        if runner.uses_query_time:
            requests = [own[-1] + _WAIT for own in stamps]
            expected = _encoded(model, some, stamps, requests)
            found = max(
                found, _difference(runner._encode(some, stamps, requests), expected.numpy())
            )
    if runner.manifest["streaming"]:
        found = max(found, _streamed(model, runner, rows[-1], times[-1]))
    many = generator.integers(1, items + 1, size=(_USERS, min(_EVENTS, longest))).tolist()
    return Parity(found, _agreement(model, runner, many))


def _encoded(
    model: "SequenceModel",
    rows: list[list[int]],
    times: list[list[int]] | None,
    at: list[int] | None = None,
) -> torch.Tensor:
    """User vectors, for requests at the times of the newest events, or at others."""
    batch = SequenceBatch.from_histories(rows, times)
    if at is not None and batch.timestamps is not None:
        queries = batch.timestamps.roll(-1, 1)
        queries[torch.arange(len(rows)), batch.lengths - 1] = torch.tensor(at)
        batch = replace(batch, query_times=queries * batch.mask)
    return model.read(batch)


def _agreement(model: "SequenceModel", runner: Recommender, rows: list[list[int]]) -> float:
    """The share of the model's best items that are among the runner's."""
    k = min(10, len(model.vocabulary))
    times = [[0] * len(row) for row in rows] if runner.uses_time else None
    batches = [slice(start, start + _BATCH) for start in range(0, len(rows), _BATCH)]
    vectors = [_encoded(model, rows[some], times and times[some]) for some in batches]
    expected = model.head.topk(torch.cat(vectors), k)[1].tolist()
    ranked = runner._rank(runner._encode(rows, None), k, None, ())
    ids = [{model.vocabulary.item(index) for index in row if index} for row in expected]
    both = sum(len({item for item, _ in own} & row) for own, row in zip(ranked, ids, strict=True))
    return both / max(1, sum(map(len, ids)))


def _use_programs(runner: Recommender) -> None:
    """Let a runner compute with the ``torch.export`` programs instead of the ONNX files."""
    runner._history = _Program(runner.folder / "history.pt2")
    runner._best = _Program(runner.folder / "recommend.pt2")
    runner._event = _Program(runner.folder / "event.pt2") if runner._event is not None else None
    if runner._answer is not None:
        runner._answer = _Program(runner.folder / "answer.pt2")


class _Program:
    """A ``torch.export`` program with the interface of a session of onnxruntime."""

    def __init__(self, path: Path) -> None:
        self._module = torch.export.load(path).module()

    def run(self, _: None, given: dict[str, Any]) -> list[Any]:
        """The results for named arrays, in their order; the best ``k`` of scores if requested."""
        k = given.pop("k", None)
        found = self._module(*(torch.from_numpy(np.asarray(each)) for each in given.values()))
        found = found if isinstance(found, tuple | list) else (found,)
        if k is not None:
            found = found[0].topk(int(k[0]))
        return [each.numpy() for each in found]


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
        if runner.uses_query_time:
            expected = session._answer(time + _WAIT)[0].numpy()
            found = max(found, _difference(other.vector_at(time + _WAIT), expected))
    return found


def _difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    if not expected.size:
        return 0.0
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))
