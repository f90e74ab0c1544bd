"""``item_features.safetensors``: the features of the items that a model's embedder reads.

For each column of V items, in the order of ``columns`` (JSON as bytes: names, kinds, and V), with
N its number: strings are ``N.bytes`` (UTF-8) and ``N.ends`` (the end of each); categories also
``N.counts`` (how many each item has); a number is ``N.values`` and ``N.present``; a vector is
``N.values``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from seqzoo.data.item_table import KINDS, FeatureColumn, ItemTable
from seqzoo.errors import CheckpointError
from seqzoo.storage.documents import read_json
from seqzoo.storage.fields import Closed, Count, Id
from seqzoo.storage.messages import RESTORE
from seqzoo.storage.tensors import EncodedTensors, parse_tensors

__all__ = ["parse_item_features", "render_item_features"]


class _Column(Closed):
    name: Id
    kind: Annotated[
        str, Meta(pattern=rf"\A({'|'.join(KINDS)})\Z", description=f"one of {', '.join(KINDS)}")
    ]


class _Columns(Closed):
    """``columns``."""

    items: Count
    columns: Annotated[list[_Column], Meta(min_length=1, description="a list of columns")]


def render_item_features(table: ItemTable) -> EncodedTensors:
    """The content of the file."""
    head = {
        "items": len(table),
        "columns": [{"name": column.name, "kind": column.kind} for column in table.columns],
    }
    tensors = {"columns": _bytes(json.dumps(head, ensure_ascii=False).encode())}
    for number, column in enumerate(table.columns):
        values: Any = column.values
        if column.kind == "number":
            present = ~np.isnan(values)
            tensors[f"{number}.values"] = torch.from_numpy(np.where(present, values, 0.0))
            tensors[f"{number}.present"] = torch.from_numpy(present.astype(np.uint8))
        elif column.kind == "vector":
            tensors[f"{number}.values"] = torch.from_numpy(np.ascontiguousarray(values))
        else:
            if column.kind == "categories":
                counts = [len(each) for each in values]
                tensors[f"{number}.counts"] = torch.tensor(counts, dtype=torch.int32)
                values = [value for each in values for value in each]
            encoded = [value.encode() for value in values]
            ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
            tensors[f"{number}.bytes"] = _bytes(b"".join(encoded))
            tensors[f"{number}.ends"] = torch.from_numpy(ends.reshape(-1))
    return EncodedTensors(tensors)


def parse_item_features(path: Path, content: bytes) -> ItemTable:
    """The features in the bytes of the file.

    Raises:
        CheckpointError: they are not what ``render_item_features`` writes.
    """
    tensors = parse_tensors(path, content)
    head = read_json(path, _array(path, tensors, "columns", torch.uint8).tobytes(), _Columns)
    count, columns, used = head["items"], [], {"columns"}
    for number, column in enumerate(head["columns"]):
        reader = _Reader(path, tensors, number, count, used)
        columns.append(FeatureColumn(column["name"], column["kind"], reader.read(column["kind"])))
    if extra := sorted(tensors.keys() - used):
        raise _malformed(path, f"has the tensor {extra[0]}, which belongs to no column")
    if len({column.name for column in columns}) < len(columns):
        raise _malformed(path, "has two columns of the same name")
    return ItemTable(tuple(columns))


class _Reader:
    """Reads the tensors of one column."""

    def __init__(
        self, path: Path, tensors: Mapping[str, Tensor], number: int, count: int, used: set[str]
    ) -> None:
        self._path, self._tensors, self._number, self._count = path, tensors, number, count
        self._used = used

    def read(self, kind: str) -> Any:
        """The values of a kind."""
        if kind == "number":
            present = self._of("present", torch.uint8, (self._count,)) > 0
            return np.where(present, self._of("values", torch.float64, (self._count,)), np.nan)
        if kind == "vector":
            return self._of("values", torch.float32, (self._count, None))
        if kind != "categories":
            return tuple(self._strings(self._count))
        counts = self._of("counts", torch.int32, (self._count,)).astype(np.int64)
        if (counts < 0).any():
            raise _malformed(self._path, f"has negative numbers in {self._number}.counts")
        strings = self._strings(int(counts.sum()))
        ends = np.cumsum(counts).tolist()
        starts = [0, *ends[:-1]]
        return tuple(tuple(strings[start:end]) for start, end in zip(starts, ends, strict=True))

    def _strings(self, count: int) -> Sequence[str]:
        ends = self._of("ends", torch.int64, (count,))
        content = self._of("bytes", torch.uint8, (None,)).tobytes()
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        if (ends < starts).any() or (int(ends[-1]) if count else 0) != len(content):
            raise _malformed(self._path, f"has ends that do not fit {self._number}.bytes")
        try:
            return [
                content[start:end].decode()
                for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            ]
        except UnicodeDecodeError:
            raise _malformed(self._path, f"has {self._number}.bytes that are not UTF-8") from None

    def _of(self, name: str, dtype: torch.dtype, shape: tuple[int | None, ...]) -> Any:
        self._used.add(f"{self._number}.{name}")
        return _array(self._path, self._tensors, f"{self._number}.{name}", dtype, shape)


def _array(
    path: Path,
    tensors: Mapping[str, Tensor],
    name: str,
    dtype: torch.dtype,
    shape: tuple[int | None, ...] = (None,),
) -> Any:
    """A tensor as an array, of a dtype and a shape in which None is any length of at least 1."""
    tensor = tensors.get(name)
    if tensor is None:
        raise _malformed(path, f"lacks the tensor {name}")
    fits = tensor.dim() == len(shape) and all(
        found == wanted if wanted is not None else True
        for found, wanted in zip(tensor.shape, shape, strict=True)
    )
    if tensor.dtype != dtype or not fits:
        raise _malformed(path, f"has {name} as {tensor.dtype} {list(tensor.shape)}")
    return tensor.numpy()


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else _EMPTY.clone()


_EMPTY = torch.empty(0, dtype=torch.uint8)


def _malformed(path: Path, found: str) -> CheckpointError:
    return CheckpointError(f"{path} {found}: it is not a table of item features; {RESTORE}")
