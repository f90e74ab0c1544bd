"""Convert tensors to the bytes of a safetensors file and back; NaN and infinities are refused."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from seqzoo.errors import CheckpointError, one_line
from seqzoo.storage.integrity import sha256_of, wrong_sha256, wrong_size
from seqzoo.storage.messages import listing
from seqzoo.storage.safetensors_header import check_header_length

__all__ = [
    "MAPPING",
    "EncodedTensors",
    "map_tensors",
    "not_finite",
    "parse_tensors",
    "tensors_bytes",
]

MAPPING = os.name == "posix"
"""Whether a mapped file can be replaced; Windows refuses that."""

_PIECE = 1 << 20


def parse_tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file.

    Args:
        path: the file, for messages.
        content: its bytes.

    Raises:
        CheckpointError: it is not a safetensors file, or holds NaN or infinities.
    """
    check_header_length(path, int.from_bytes(content[:8], "little"), len(content))
    with _safetensors_errors(path):
        tensors = load(content)
    return _finite(path, tensors)


def map_tensors(path: Path, size: int, sha256: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, whose pages the system reads when they are needed.

    Changes of the tensors are private: the file stays as it is. The file must not be written in
    place as long as the tensors are used; replacing it by another file is safe, as saving does.

    Args:
        path: the file.
        size: its recorded size in bytes.
        sha256: its recorded sha256.

    Raises:
        CheckpointError: it is not a safetensors file, holds NaN or infinities, or cannot be read.
        IntegrityError: its size or sha256 differs.
    """
    before = _identity(path)
    if before.size != size:
        raise wrong_size(path, before.size, size)
    found = sha256_of(path)
    if found != sha256:
        raise wrong_sha256(path, found, sha256)
    with _safetensors_errors(path), safe_open(path, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    # The library opens the file by its name: it must be the one that was hashed.
    if _identity(path) != before:
        raise CheckpointError(f"{path} has changed while it was read; read it again")
    return _finite(path, tensors)


class _Identity(NamedTuple):
    device: int
    number: int
    size: int
    written: int


def _identity(path: Path) -> _Identity:
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def _safetensors_errors(path: Path) -> Iterator[None]:
    try:
        yield
    # A dtype that this torch lacks is a KeyError or an AttributeError in safetensors.
    except (
        SafetensorError,
        KeyError,
        AttributeError,
        AssertionError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({one_line(error, 120)}); fetch the checkpoint "
            "again or restore the file"
        ) from error


def _finite(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if broken := not_finite(tensors):
        raise CheckpointError(
            f"{path} holds NaN or infinities in {listing(broken)}; train again or use an earlier "
            "checkpoint"
        )
    return tensors


class EncodedTensors:
    """The content of a safetensors file, made piece by piece and never held in memory as a whole.

    Equal tensors give equal bytes: those that ``safetensors.torch.save`` makes of them.

    Args:
        tensors: tensors by name, which must not change while this object is used.

    Raises:
        CheckpointError: a value is not a tensor, or holds NaN or infinities.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor):
                raise CheckpointError(
                    f"the model cannot be saved: its state '{name}' is {type(tensor).__name__}; "
                    "keep only tensors in state_dict()"
                )
        if broken := not_finite(tensors):
            raise CheckpointError(
                f"the model cannot be saved: {listing(broken)} holds NaN or infinities; train "
                "with a lower learning rate, or register a mask with persistent=False"
            )
        self._header, self._tensors = _header(tensors)
        self._size = len(self._header) + sum(tensor.nbytes for tensor in self._tensors)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The content in order."""
        yield self._header
        for tensor in self._tensors:
            if tensor.numel():
                plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                content = plain.numpy().data
                for start in range(0, len(content), _PIECE):
                    yield content[start : start + _PIECE]

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the content as 64 hex digits."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the content into a file.

        Raises:
            CheckpointError: the tensors have changed since ``sha256`` was read.
            OSError: the system refuses.
        """
        digest = hashlib.sha256()
        with path.open("wb") as stream:
            for piece in self.pieces():
                digest.update(piece)
                stream.write(piece)
        found = digest.hexdigest()
        if self.__dict__.setdefault("sha256", found) != found:
            raise CheckpointError(
                f"{path.name} cannot be written: the weights were changed while they were saved; "
                "save the model when nothing trains it"
            )


def tensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the content of a safetensors file; raises as ``EncodedTensors`` does."""
    return bytes(EncodedTensors(tensors))


def _header(tensors: Mapping[str, Tensor]) -> tuple[bytes, list[Tensor]]:
    """The header of a safetensors file, and the tensors in the order of their bytes."""
    # The library decides the order and the names of dtypes.
    empty = {name: torch.empty(0, dtype=tensors[name].dtype) for name in sorted(tensors)}
    content = save(empty, metadata={"format": "pt"})
    header = json.loads(content[8:])
    ordered, start = [], 0
    for name, entry in header.items():
        if name in tensors:
            ordered.append(tensors[name])
            entry["shape"] = list(tensors[name].shape)
            entry["data_offsets"] = [start, start := start + tensors[name].nbytes]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, ordered


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinities."""
    found = []
    for name, tensor in tensors.items():
        if tensor.is_floating_point() or tensor.is_complex():
            # In parts, as the check of a whole table would take a quarter of its memory.
            parts = torch.split(tensor.detach().reshape(-1), _PIECE)
            # The 8-bit types have no isfinite of their own.
            wide = (part if part.element_size() > 1 else part.float() for part in parts)
            if not all(bool(torch.isfinite(part).all()) for part in wide):
                found.append(name)
    return found
