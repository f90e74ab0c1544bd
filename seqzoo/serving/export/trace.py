"""The exported computations of a model, traced: as programs of torch, and as ONNX files."""

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
    EventModule,
    HistoryModule,
    ScoresModule,
    StateTensor,
    event_module,
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
            Exception: whatever the converter raises for an operation that ONNX does not have.
        """
        graph = graph_of(self.program, self.inputs, self.outputs)
        return _bytes(with_top_k(graph) if self.outputs == ("scores",) else graph)

    def torch(self) -> bytes:
        """The content of the ``.pt2`` file."""
        return saved(self.program)


def trace(model: "SequenceModel") -> tuple[list[Traced], list[StateTensor]]:
    """The computations of a model, and the state of ``event`` if it is among them."""
    with torch.no_grad():
        found = event_module(model)
    traced = [_history(model), _recommend(model)]
    if found is None:
        return traced, []
    module, state = found
    return [*traced, _event(module, state)], state


def _history(model: "SequenceModel") -> Traced:
    length = min(_EVENTS, model.max_length)
    items = torch.ones(_ROWS, length, dtype=torch.int64)
    lengths = torch.arange(_ROWS).clamp(max=length - 1) + 1
    # A model that reads one event is never given more.
    matrix = {0: DYNAMIC, 1: DYNAMIC} if length > 1 else {0: DYNAMIC}
    arguments: tuple[Tensor, ...] = (items, lengths)
    axes, names = [matrix, {0: DYNAMIC}], ["items", "lengths"]
    if model.backbone.uses_time:
        arguments = (*arguments, torch.arange(length).expand(_ROWS, -1).contiguous())
        axes, names = [*axes, matrix], [*names, "timestamps"]
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


def _event(module: EventModule, state: list[StateTensor]) -> Traced:
    items = torch.ones(_ROWS, dtype=torch.int64)
    arguments, axes, names = [items], [], ["item"]
    if module.timed:
        arguments.append(torch.full((_ROWS,), 60))
        axes.append({0: DYNAMIC})
        names.append("elapsed")
    for place, tensor in enumerate(state):
        names.append(f"state_{place}")
        example, own = tensor.initial, {}
        if example.dim():
            shape = [_ROWS, *example.shape[1:]]
            own[0] = DYNAMIC
            if tensor.growing is not None:
                shape[tensor.growing] = _PAIRS
                own[tensor.growing] = DYNAMIC
            example = torch.zeros(shape, dtype=example.dtype)
        arguments.append(example)
        axes.append(own)
    after = [f"new_state_{place}" for place in range(len(state))]
    outputs = ("user_vectors", *after)
    return _traced("event", module, tuple(arguments), [{0: DYNAMIC}, tuple(axes)], names, outputs)


def _traced(
    name: str,
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    axes: Sequence[Any],
    inputs: Sequence[str],
    outputs: tuple[str, ...],
) -> Traced:
    return Traced(name, program_of(module, arguments, axes), inputs, outputs)


def _bytes(graph: onnx.ModelProto) -> bytes:
    try:
        content: bytes = graph.SerializeToString()
    except ValueError:
        raise UsageError(
            "the model is larger than 2 GB, the largest ONNX file; export a model with fewer items "
            "or a smaller hidden_size"
        ) from None
    return content
