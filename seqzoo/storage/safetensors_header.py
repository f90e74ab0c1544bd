"""How many parameters a safetensors file holds, from its header alone."""

from pathlib import Path

from seqzoo.errors import CheckpointError
from seqzoo.storage.untrusted import BEYOND, malformed, parse_flat_json, shown

LARGEST_HEADER = 16 << 20
"""Bytes of the header of ``model.safetensors``."""

# Three for each tensor; a header as long as is allowed has room for fewer.
_MOST_LISTS = 1 << 20
# The longest number that torch has is a complex one of two doubles, the shortest one has 4 bits.
_LONGEST = 16
_SHORTEST_PER_BYTE = 2


def count_parameters(path: Path, size: int) -> int:
    """How many parameters a safetensors file of ``size`` bytes holds, read from its header alone.

    Raises:
        CheckpointError: the header is not that of a safetensors file.
    """
    length = int.from_bytes(_read(path, 0, 8), "little")
    check_header_length(path, length, size)
    header = parse_flat_json(path, _read(path, 8, length), _MOST_LISTS)
    if not isinstance(header, dict):
        raise malformed(path, "the header", header, "an object of tensors")
    data = size - 8 - length
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            total += _numbers(path, name, entry)
        if total > _SHORTEST_PER_BYTE * data:
            break
    if not data / _LONGEST <= total <= _SHORTEST_PER_BYTE * data:
        raise CheckpointError(
            f"{path} has {data} bytes of numbers, which its header's shapes do not fit; fetch the "
            "checkpoint again or restore the file"
        )
    return total


def check_header_length(path: Path, length: int, size: int) -> None:
    """See that a header has a length that can be in a file of ``size`` bytes.

    Raises:
        CheckpointError: it is longer than the file or than any header of a model.
    """
    most = min(LARGEST_HEADER, size - 8)
    if length > most:
        raise CheckpointError(
            f"{path} claims a header of {length} bytes in a file of {size}, expected at most "
            f"{max(most, 0)}; fetch the checkpoint again or restore the file"
        )


def _numbers(path: Path, name: str, entry: object) -> int:
    """How many numbers a tensor has by its entry in the header."""
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or not all(
        type(extent) is int and 0 <= extent < BEYOND for extent in shape
    ):
        raise malformed(path, f"tensor {shown(name)}", entry, "an entry with a shape")
    if 0 in shape:
        return 0
    count = 1
    for extent in shape:
        count *= extent
        # The product of a few thousand such numbers would take minutes to write down.
        if count >= BEYOND:
            raise malformed(path, f"the shape of tensor {shown(name)}", shape, "fewer numbers")
    return count


def _read(path: Path, start: int, length: int) -> bytes:
    """``length`` bytes of a file from ``start``, fewer where it ends before."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
