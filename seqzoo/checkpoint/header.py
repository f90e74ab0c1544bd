"""How many numbers a checkpoint's weights hold, from the header of the file alone."""

from pathlib import Path

from seqzoo.checkpoint.integrity import parse_json
from seqzoo.checkpoint.manifest import WEIGHTS, Manifest, malformed, sized
from seqzoo.errors import CheckpointError

_LARGEST_HEADER = 100 << 20


def count_parameters(manifest: Manifest) -> int:
    """How many numbers the weights hold, read from the header of the file alone.

    Raises:
        CheckpointError: the header is not that of a safetensors file.
    """
    path = sized(manifest, WEIGHTS)
    size = manifest.files[WEIGHTS]["size"]
    length = int.from_bytes(_read(path, 0, 8), "little")
    if length > min(_LARGEST_HEADER, size - 8):
        raise CheckpointError(
            f"{path} claims a header of {length} bytes in a file of {size}; fetch the checkpoint "
            "again or restore the file"
        )
    header = parse_json(path, _read(path, 8, length))
    total = 0
    for name, entry in header.items() if isinstance(header, dict) else ():
        if name != "__metadata__":
            shape = entry.get("shape") if isinstance(entry, dict) else None
            if not isinstance(shape, list) or not all(isinstance(n, int) for n in shape):
                raise malformed(path, f"tensor '{name}'", entry, "an entry with a shape")
            count = 1
            for extent in shape:
                count *= extent
            total += count
    return total


def _read(path: Path, start: int, length: int) -> bytes:
    """``length`` bytes of a file from ``start``, fewer where it ends before."""
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
