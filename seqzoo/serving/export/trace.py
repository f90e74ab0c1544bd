"""The exported computations of a model, traced: as ``torch.export`` programs, and as ONNX files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from seqzoo.errors import UsageError
from seqzoo.serving.export.graphs import DYNAMIC, graph_of, program_of, saved, with_top_k
from seqzoo.serving.export.modules import (
    HistoryModule,
    ScoresModule,
    StateTensor,
    Streamed,
    streamed,
    window,
)

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["Traced", "trace"]

_ROWS, _EVENTS, _PAIRS = 3, 7, 5
"""Sizes of the examples; no two are equal, and none is 0 or 1, which a tracer would fix."""


@dataclass(frozen=True)
class Traced:
    """One computation.

    Attributes:
        name: the name of its files, without the ending.
        program: as ``torch.export`` traced it.
        inputs: names of the arguments.
        outputs: names of the results.
    """

    name: str
    program: ExportedProgram
    inputs: Sequence[str]
    outputs: Sequence[str]

    def onnx(self) -> bytes:
        """The content of the ``.onnx`` file.

        Raises:
            UsageError: it would be too large.
            Exception: any error of the converter, for an operation that ONNX does not have.
        """
        graph = graph_of(self.program, self.inputs, self.outputs)
        return _bytes(with_top_k(graph) if self.outputs == ("scores",) else graph)

    def torch(self) -> bytes:
        """The content of the ``.pt2`` file."""
        return saved(self.program)


def trace(model: "SequenceModel") -> tuple[list[Traced], list[StateTensor]]:
    """The computations of a model, and the state of ``event`` if it is among them."""
    traced = [_history(model), _recommend(model)]
    with torch.no_grad():
        found = streamed(model, _ROWS, _PAIRS)
    return (traced, []) if found is None else ([*traced, *_streamed(found)], found.state)


def _history(model: "SequenceModel") -> Traced:
    length = min(_EVENTS, window(model))
    items = torch.ones(_ROWS, length, dtype=torch.int64)
    lengths = torch.arange(_ROWS).clamp(max=length - 1) + 1
    # A model that reads one event is never given more.
    matrix = {0: DYNAMIC, 1: DYNAMIC} if length > 1 else {0: DYNAMIC}
    arguments: tuple[Tensor, ...] = (items, lengths)
    axes, names = [matrix, {0: DYNAMIC}], ["items", "lengths"]
    if model.backbone.uses_time:
        arguments = (*arguments, torch.arange(length).expand(_ROWS, -1).contiguous())
        axes, names = [*axes, matrix], [*names, "timestamps"]
    if model.reads.query_times:
        arguments = (*arguments, arguments[2] + 1)
        axes, names = [*axes, matrix], [*names, "query_times"]
    return _traced("history", HistoryModule(model), arguments, axes, names, ("user_vectors",))


def _recommend(model: "SequenceModel") -> Traced:
    table = model.embedder.item_table
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(_ROWS, table.shape[1], dtype=table.dtype, generator=generator)
    rows = torch.arange(_PAIRS) % _ROWS
    items = torch.arange(_PAIRS) % len(table)
    arguments = vectors, rows, items
    names = ["user_vectors", "rows", "excluded"]
    axes = [{0: DYNAMIC}] * 3
    return _traced("recommend", ScoresModule(model), arguments, axes, names, ("scores",))


def _streamed(given: Streamed) -> list[Traced]:
    """One event, and where it exists, the answer some time after it."""
    axes, single = [], False
    for tensor, example in zip(given.state, given.example, strict=True):
        own = {0: DYNAMIC} if tensor.initial.dim() else {}
        if tensor.growing is not None:
            own[tensor.growing] = DYNAMIC
            single |= example.shape[tensor.growing] == 1
        axes.append(own)
    names = [f"state_{index}" for index in range(len(given.state))]
    seconds = torch.full((_ROWS,), 60)
    arguments, first = [torch.ones(_ROWS, dtype=torch.int64)], ["item"]
    if given.event.timed:
        arguments.append(seconds)
        first.append("elapsed")
    outputs = ("user_vectors", *(f"new_{name}" for name in names))
    others: list[Any] = [{0: DYNAMIC}] * (len(arguments) - 1) + axes
    found = [
        _traced(
            "event",
            given.event,
            (*arguments, *given.example),
            [{0: DYNAMIC}, tuple(others)],
            [*first, *names],
            outputs,
            single=single,
        )
    ]
    if given.answer is not None:
        found.append(
            _traced(
                "answer",
                given.answer,
                (seconds, *given.example),
                [{0: DYNAMIC}, tuple(axes)],
                ["waited", *names],
                ("user_vectors",),
                single=single,
            )
        )
    return found


def _traced(
    name: str,
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    axes: Sequence[Any],
    inputs: Sequence[str],
    outputs: tuple[str, ...],
    *,
    single: bool = False,
) -> Traced:
    program = program_of(module, arguments, axes, single=single)
    return Traced(name, program, inputs, outputs)


def _bytes(graph: onnx.ModelProto) -> bytes:
    try:
        content: bytes = graph.SerializeToString()
    except ValueError:
        raise UsageError(
            "the model is larger than 2 GB, the largest ONNX file; export a model with fewer items "
            "or a smaller hidden_size"
        ) from None
    return content
