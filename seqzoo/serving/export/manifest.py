"""The schema of ``manifest.json`` in an exported folder."""

from typing import Any, Literal

from seqzoo.checkpoint.schemas import Name
from seqzoo.storage.fields import Closed, Count, FileEntry, Positive, Text

__all__ = ["MANIFEST", "Manifest", "StateEntry"]

MANIFEST = "manifest.json"


class StateEntry(Closed):
    """One tensor of the state of a user, an input and an output of ``event.onnx``.

    Attributes:
        dtype: as numpy names it.
        shape: before the first event, for one user: the first dimension is the batch. A number that
            all users share has no dimension.
        initial: values before the first event: one for all, or nested lists.
        growing: the dimension whose size changes with the events, if there is one.
    """

    dtype: Literal["float32", "float64", "int64"]
    shape: list[Count]
    initial: Any
    growing: int | None


class Manifest(Closed):
    """What an exported folder holds.

    Attributes:
        format: version of this document.
        seqzoo: version that wrote it.
        architecture: registered name.
        config: settings of the model, flat.
        opset: version of the ONNX operators.
        max_length: number of newest events that ``history.onnx`` is given.
        uses_time: whether the model reads timestamps.
        uses_query_time: whether the model reads the time of the request.
        streaming: whether there is an ``event.onnx``; with ``uses_query_time`` an ``answer.onnx``
            too.
        state_events: number of events up to which the state can be advanced; None for any number.
        state: its tensors.
        int8: whether the weights of the ONNX files are quantised to 8 bits.
        max_difference: largest difference from the model that the export has measured, relative to
            the largest value.
        agreement: share of the model's 10 best items that are among the files' 10 best, over the
            histories that the export has tried.
        files: size and hash of every other file.
    """

    format: Literal[1]
    seqzoo: Text
    architecture: Name
    config: dict[str, Any]
    opset: Count
    max_length: Positive
    uses_time: bool
    uses_query_time: bool
    streaming: bool
    state_events: int | None
    state: list[StateEntry]
    int8: bool
    max_difference: float
    agreement: float
    files: dict[str, FileEntry]
