"""Graphs of the exported computations, by torch.export and in ONNX."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.experimental import _config as fx_config

from seqzoo.ops.exporting import exportable

__all__ = ["DYNAMIC", "OPSET", "graph_of", "program_of", "saved", "with_top_k"]

OPSET = 20
"""Version of the ONNX operators that the graphs use."""


_TALKATIVE = (
    "onnx_ir",
    "torch.onnx._internal.exporter",
    "torch._export.serde.serialize",
)

DYNAMIC = torch.export.Dim.DYNAMIC


def program_of(
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    axes: Sequence[Any],
    *,
    single: bool = False,
) -> ExportedProgram:
    """Trace a module for any size of some dimensions.

    Args:
        module: in evaluation mode, on the CPU.
        arguments: an example; no dimension that may change is 0 or 1.
        axes: for each argument the dimensions that may change, ``{0: DYNAMIC}``; in a tuple of
            their own for those that the module takes as ``*tensors``.
        single: dimensions that may change are 1 in the example.

    Raises:
        Exception: any error of the tracer, for a computation that it cannot follow.
    """
    # Otherwise the tracer takes a dimension that is 1 in the example for one that always is.
    oblivious = fx_config.patch(backed_size_oblivious=single)  # type: ignore[attr-defined]
    with _quiet(), torch.no_grad(), exportable(), oblivious:
        program = torch.export.export(module, arguments, dynamic_shapes=tuple(axes), strict=False)
    if single:
        # Guards of what the tracer then finds out about the layout of the example in memory. They
        # are saved with the program. The public way to leave them out, module(check_guards=False),
        # is for whoever loads it, and drops the checks of the sizes, too.
        program._guards_code = []
    for part in program.graph_module.modules():
        if isinstance(part, GraphModule):
            for node in part.graph.nodes:
                # Names files of the machine that traced it.
                node.meta.pop("stack_trace", None)
    return program


def graph_of(
    program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The ONNX graph of a program.

    Args:
        program: what ``program_of`` gave.
        inputs: names of the arguments.
        outputs: names of the results.

    Raises:
        Exception: any error of the converter, for an operation that ONNX does not have.
    """
    with _quiet(), torch.no_grad(), exportable():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            # It takes constants below 1e-8 for zero, such as the epsilon of a norm.
            optimize=False,
            verbose=False,
        )
        assert exported is not None  # noqa: S101 - always a program with dynamo=True
        optimizer.inline(exported.model)
        optimizer.fold_constants(
            exported.model,
            onnx_shape_inference=True,
            # Tables are transposed once, here, however large they are.
            should_fold=lambda node: node.op_type in ("Slice", "Transpose") or None,
        )
        optimizer.remove_unused_nodes(exported.model)
    graph: onnx.ModelProto = exported.model_proto
    _without_notes(graph.graph)
    _without_idle_transposes(graph.graph)
    _without_shapes_of_weights(graph.graph)
    return graph


def saved(program: ExportedProgram) -> bytes:
    """The content of a ``.pt2`` file, which ``torch.export.load`` reads."""
    stream = io.BytesIO()
    with _quiet():
        torch.export.save(program, stream)
    return stream.getvalue()


def with_top_k(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of scores that gives the ``k`` best items instead, ``k`` being an input [1]."""
    inner, scores = graph.graph, graph.graph.output[0].name
    kind = inner.output[0].type.tensor_type.elem_type
    del inner.output[:]
    inner.input.append(onnx.helper.make_tensor_value_info("k", onnx.TensorProto.INT64, [1]))
    node = onnx.helper.make_node(
        "TopK", [scores, "k"], ["best_scores", "best_items"], name="best", axis=1
    )
    inner.node.append(node)
    for name, element in (("best_scores", kind), ("best_items", onnx.TensorProto.INT64)):
        inner.output.append(onnx.helper.make_tensor_value_info(name, element, ["batch", "best"]))
    onnx.checker.check_model(graph)
    return graph


def _without_notes(graph: onnx.GraphProto) -> None:
    """Remove the files and lines of the source that the tracer notes."""
    for each in (*graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del each.metadata_props[:]
        each.doc_string = ""
    del graph.metadata_props[:]
    for inner in _graphs_in(graph):
        _without_notes(inner)


def _without_idle_transposes(graph: onnx.GraphProto) -> None:
    """Replace transpositions that keep the order of the dimensions.

    The converter adds one after each look-up of rows. onnxruntime before 1.30 takes any
    transposition before a product of matrices for an exchange of their dimensions.
    """
    for node in graph.node:
        if node.op_type == "Transpose":
            order = [axis for given in node.attribute for axis in given.ints]
            if order and order == sorted(order):
                node.op_type = "Identity"
                del node.attribute[:]
    for inner in _graphs_in(graph):
        _without_idle_transposes(inner)


def _without_shapes_of_weights(graph: onnx.GraphProto) -> None:
    """Remove what repeats the shape that a tensor of weights has itself.

    onnxruntime 1.22 does not update the repetition when it transposes weights to round them.
    """
    weights = {tensor.name for tensor in graph.initializer}
    kept = [info for info in graph.value_info if info.name not in weights]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The bodies of loops and scans of a graph."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield attribute.g


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that seqzoo does not use, and on empty lists."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
