"""The ONNX files of a model."""

from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor

from seqzoo.errors import UsageError
from seqzoo.serving.export.graphs import DYNAMIC, graph_of, with_top_k
from seqzoo.serving.export.modules import (
    EventModule,
    HistoryModule,
    ScoresModule,
    StateTensor,
    event_module,
)

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

_ROWS, _EVENTS, _PAIRS = 3, 7, 5
"""Sizes of the examples; no two are equal, and none is 0 or 1, which a tracer would fix."""


def trace(model: "SequenceModel") -> tuple[dict[str, bytes], list[StateTensor]]:
    """The ONNX files of a model by name, and the state of ``event.onnx`` if there is one."""
    with torch.no_grad():
        found = event_module(model)
    files = {"history.onnx": _history(model), "recommend.onnx": _recommend(model)}
    if found is None:
        return files, []
    module, state = found
    files["event.onnx"] = _event(module, state)
    return files, state


def _history(model: "SequenceModel") -> bytes:
    length = min(_EVENTS, model.max_length)
    items = torch.ones(_ROWS, length, dtype=torch.int64)
    lengths = torch.arange(_ROWS).clamp(max=length - 1) + 1
    matrix = {0: DYNAMIC, 1: DYNAMIC}
    arguments: tuple[Tensor, ...] = (items, lengths)
    axes, names = [matrix, {0: DYNAMIC}], ["items", "lengths"]
    if model.backbone.uses_time:
        arguments = (*arguments, torch.arange(length).expand(_ROWS, -1).contiguous())
        axes, names = [*axes, matrix], [*names, "timestamps"]
    return _bytes(graph_of(HistoryModule(model), arguments, axes, names, ["user_vectors"]))


def _recommend(model: "SequenceModel") -> bytes:
    table = model.embedder.item_table
    vectors = torch.randn(_ROWS, table.shape[1], dtype=table.dtype, generator=_generator())
    rows = torch.arange(_PAIRS) % _ROWS
    items = torch.arange(_PAIRS) % len(table)
    graph = graph_of(
        ScoresModule(model),
        (vectors, rows, items),
        [{0: DYNAMIC}] * 3,
        ["user_vectors", "rows", "excluded"],
        ["scores"],
    )
    return _bytes(with_top_k(graph))


def _event(module: EventModule, state: list[StateTensor]) -> bytes:
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
    return _bytes(
        graph_of(
            module,
            tuple(arguments),
            [{0: DYNAMIC}, tuple(axes)],
            names,
            ["user_vectors", *after],
        )
    )


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _bytes(graph: onnx.ModelProto) -> bytes:
    try:
        content: bytes = graph.SerializeToString()
    except ValueError:
        raise UsageError(
            "the model is larger than 2 GB, the largest ONNX file; export a model with fewer items "
            "or a smaller hidden_size"
        ) from None
    return content
