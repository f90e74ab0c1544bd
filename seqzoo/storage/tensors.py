"""Convert tensors to the bytes of a safetensors file and back; NaN and infinities are refused."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from seqzoo.errors import CheckpointError, one_line
from seqzoo.storage.messages import listing
from seqzoo.storage.safetensors_header import check_header_length


def parse_tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file.

    Args:
        path: the file, for messages.
        content: its bytes.

    Raises:
        CheckpointError: it is not a safetensors file, or holds NaN or infinities.
    """
    check_header_length(path, int.from_bytes(content[:8], "little"), len(content))
    try:
        tensors = load(content)
    # A dtype that this torch lacks is a KeyError or an AttributeError in safetensors.
    except (
        SafetensorError,
        KeyError,
        AttributeError,
        AssertionError,
        RuntimeError,
        ValueError,
    ) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({one_line(error, 120)}); fetch the checkpoint "
            "again or restore the file"
        ) from error
    if broken := not_finite(tensors):
        raise CheckpointError(
            f"{path} holds NaN or infinities in {listing(broken)}; train again or use an earlier "
            "checkpoint"
        )
    return tensors


def tensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the content of a safetensors file; equal tensors give equal bytes.

    Raises:
        CheckpointError: a value is not a tensor, or holds NaN or infinities.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"the model cannot be saved: its state '{name}' is {type(tensor).__name__}; keep "
                "only tensors in state_dict()"
            )
    if broken := not_finite(tensors):
        raise CheckpointError(
            f"the model cannot be saved: {listing(broken)} holds NaN or infinities; train with a "
            "lower learning rate, or register a mask with persistent=False"
        )
    # Clones, because safetensors refuses tensors that share memory.
    clones = {
        name: tensors[name].detach().to("cpu", copy=True).contiguous() for name in sorted(tensors)
    }
    return save(clones, metadata={"format": "pt"})


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinities."""
    found = []
    for name, tensor in tensors.items():
        if tensor.is_floating_point() or tensor.is_complex():
            # The 8-bit types have no isfinite of their own.
            wide = tensor if tensor.element_size() > 1 else tensor.float()
            if not torch.isfinite(wide).all():
                found.append(name)
    return found
