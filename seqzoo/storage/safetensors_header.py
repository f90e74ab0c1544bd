"""How many parameters a safetensors file holds, from its header only."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from seqzoo.errors import CheckpointError
from seqzoo.storage.documents import BEYOND, check, parse_json
from seqzoo.storage.fields import Count
from seqzoo.storage.messages import RESTORE, malformed, shown

__all__ = ["LARGEST_HEADER", "check_header_length", "count_parameters"]

LARGEST_HEADER = 16 << 20
"""Bytes of the header of ``model.safetensors``."""

# Three for each tensor; a header of the largest length has room for fewer.
_MOST_CONTAINERS = 1 << 20
# Bytes per parameter: at most 16 (complex128), at least half a byte (4-bit types).
_LONGEST = 16
_SHORTEST_PER_BYTE = 2


class _Tensor(Struct):
    """The entry of a tensor."""

    dtype: Annotated[str, Meta(description="the name of a dtype")]
    shape: Annotated[list[Count], Meta(description="a list of sizes")]
    data_offsets: Annotated[
        list[Count], Meta(min_length=2, max_length=2, description="where its bytes start and end")
    ]


def count_parameters(path: Path, size: int) -> int:
    """How many parameters a safetensors file of ``size`` bytes holds, read from its header only.

    Raises:
        CheckpointError: the header is not that of a safetensors file.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            check_header_length(path, length, size)
            content = stream.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    header = parse_json(path, content, most=_MOST_CONTAINERS)
    if isinstance(header, dict):
        check(path, header.pop("__metadata__", {}), dict[str, str])
    tensors = check(path, header, dict[str, _Tensor])
    data = size - 8 - length
    total = sum(_numbers(path, name, tensor.shape) for name, tensor in tensors.items())
    if not data / _LONGEST <= total <= _SHORTEST_PER_BYTE * data:
        raise CheckpointError(
            f"{path} has {data} bytes of parameters, which do not fit the shapes in its header; "
            f"{RESTORE}"
        )
    return total


def check_header_length(path: Path, length: int, size: int) -> None:
    """Check that the length of a header fits into a file of ``size`` bytes.

    Raises:
        CheckpointError: it is longer than the file or than any header of a model.
    """
    most = min(LARGEST_HEADER, size - 8)
    if length > most:
        raise CheckpointError(
            f"{path} declares a header of {length} bytes in a file of {size}, expected at most "
            f"{max(most, 0)}; {RESTORE}"
        )


def _numbers(path: Path, name: str, shape: list[int]) -> int:
    """How many numbers a tensor of a shape holds."""
    if 0 in shape:
        return 0
    count = 1
    for extent in shape:
        count *= extent
        # The product of a few thousand such numbers would take minutes to print.
        if count >= BEYOND:
            raise malformed(path, f"the shape of tensor {shown(name)}", shape, "fewer numbers")
    return count
