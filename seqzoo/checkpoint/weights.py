"""``model.safetensors``: the tensors of a model to bytes and back, strictly."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from seqzoo.checkpoint.header import check_header_length, count_parameters
from seqzoo.checkpoint.manifest import WEIGHTS, Manifest, read_verified, verify_file
from seqzoo.errors import CheckpointError

_SHOWN = 3
_LARGE = 64 << 20


def read_weights(manifest: Manifest) -> dict[str, Tensor]:
    """The tensors of a checkpoint, parsed from the very bytes that were checked.

    Raises:
        CheckpointError: the file is missing, is not safetensors, or holds NaN or infinities.
        IntegrityError: it differs from what was recorded.
    """
    # A hole in a file takes no room on a disk but all of it in memory, so a large file is checked
    # piece by piece first: its sum, and that its header's shapes account for all of it.
    if manifest.files[WEIGHTS]["size"] > _LARGE:
        verify_file(manifest, WEIGHTS)
        count_parameters(manifest)
    path, content = read_verified(manifest, WEIGHTS)
    check_header_length(path, int.from_bytes(content[:8], "little"), len(content))
    try:
        weights = load(content)
    # A dtype that this torch lacks is a KeyError or an AttributeError in safetensors.
    except (
        SafetensorError,
        KeyError,
        AttributeError,
        AssertionError,
        RuntimeError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path} is not a safetensors file ({reason}); fetch the checkpoint again or restore "
            "the file"
        ) from error
    broken = not_finite(weights)
    if broken:
        raise CheckpointError(
            f"{path} holds NaN or infinities in {_listing(broken)}; train again or take an "
            "earlier checkpoint"
        )
    return weights


def weights_bytes(state: Mapping[str, Tensor]) -> bytes:
    """Tensors as the content of ``model.safetensors``; the same tensors give the same bytes.

    Raises:
        CheckpointError: a value is not a tensor, or holds NaN or infinities.
    """
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"the model cannot be saved: its state '{name}' is {type(tensor).__name__}; keep "
                "only tensors in state_dict()"
            )
    broken = not_finite(state)
    if broken:
        raise CheckpointError(
            f"the model cannot be saved: {_listing(broken)} holds NaN or infinities; train with a "
            "lower rate, or register a mask with persistent=False"
        )
    # Clones, because safetensors refuses tensors that share memory.
    tensors = {
        name: state[name].detach().to("cpu", copy=True).contiguous() for name in sorted(state)
    }
    return save(tensors, metadata={"format": "pt"})


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinities."""
    return [
        name
        for name, tensor in state.items()
        if (tensor.is_floating_point() or tensor.is_complex()) and not _is_finite(tensor)
    ]


def distinct_state(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state of a model with each tied tensor once, and every name's name in that.

    Returns:
        Tensors by name, and for each name of ``state_dict()`` the name it is kept under.
    """
    state: dict[str, Tensor] = {}
    kept: dict[str, str] = {}
    first: dict[object, str] = {}
    for name, tensor in model.state_dict().items():
        key: object = name
        if isinstance(tensor, Tensor) and tensor.numel():
            key = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        kept[name] = first.setdefault(key, name)
        if kept[name] == name:
            state[name] = tensor
    return state, kept


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a model: each of them, into nothing but its own place.

    Args:
        model: takes the values.
        weights: what ``distinct_state`` of such a model had.
        source: the file, for messages.

    Raises:
        CheckpointError: a tensor is missing, extra, or of another shape or kind of number.
    """
    state, kept = distinct_state(model)
    remedy = (
        "the file and config.json do not belong together, or another version of the plugin "
        "wrote them; fetch the checkpoint again"
    )
    missing, extra = sorted(set(state) - set(weights)), sorted(set(weights) - set(state))
    if missing or extra:
        found = [f"lacks {_listing(missing)}"] if missing else []
        found += [f"has {_listing(extra)}, which the model does not know"] if extra else []
        raise CheckpointError(f"{source} {' and '.join(found)}; {remedy}")
    wrong = [name for name in state if weights[name].shape != state[name].shape]
    if wrong:
        shapes = ", ".join(
            f"{name} {list(weights[name].shape)}, expected {list(state[name].shape)}"
            for name in wrong[:_SHOWN]
        )
        raise CheckpointError(f"{source} has {len(wrong)} wrong shapes: {shapes}; {remedy}")
    for name, tensor in state.items():
        found_type, own_type = weights[name].dtype, tensor.dtype
        if torch.promote_types(found_type, own_type) != own_type:
            raise CheckpointError(
                f"{source} has {name} as {found_type}, expected {own_type}; {remedy}"
            )
    model.load_state_dict({name: weights[kept[name]] for name in kept}, strict=True)


def _is_finite(tensor: Tensor) -> bool:
    # The 8-bit types have no isfinite of their own.
    wide = tensor if tensor.element_size() > 1 else tensor.float()
    return bool(torch.isfinite(wide).all())


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
