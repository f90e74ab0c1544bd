"""The weights of a model: read each tied tensor once, and copy them strictly into a model."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from seqzoo.errors import CheckpointError
from seqzoo.storage.messages import listing

__all__ = ["distinct_state", "put_weights"]


def distinct_state(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state of a model with each tied tensor once, and the stored name of every name.

    The wrappers of ``torch.compile`` and ``DataParallel`` are left out of the names.

    Returns:
        Tensors by name, and for each name of ``state_dict()`` the name under which it is stored.
    """
    wrappers = [
        f"{name}." if name else ""
        for name, module in model.named_modules()
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    ]
    state: dict[str, Tensor] = {}
    kept: dict[str, str] = {}
    first: dict[object, str] = {}
    for full_name, tensor in model.state_dict().items():
        name = full_name
        # The innermost first, so that the prefixes of the outer ones still match.
        for prefix in reversed(wrappers):
            if name.startswith(f"{prefix}module."):
                name = prefix + name.removeprefix(f"{prefix}module.")
        name = name.replace("_orig_mod.", "")
        key: object = name
        if isinstance(tensor, Tensor) and tensor.numel():
            key = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        kept[full_name] = first.setdefault(key, name)
        if kept[full_name] == name:
            state[name] = tensor
    return state, kept


_LARGE = 1 << 24
"""Bytes of a tensor that is taken over instead of copied."""


def put_weights(
    model: nn.Module, weights: Mapping[str, Tensor], source: str, *, take: bool = False
) -> None:
    """Copy tensors into a model, strictly.

    Args:
        model: receives the values.
        weights: as ``distinct_state`` of such a model returns them.
        source: the file, for messages.
        take: use large tensors themselves instead of copies: the model then owns them.

    Raises:
        CheckpointError: a tensor is missing or extra, or has another shape or dtype.
    """
    state, kept = distinct_state(model)
    remedy = (
        "the file and config.json do not belong together, or another version of the plugin "
        "wrote them; fetch the checkpoint again"
    )
    missing, extra = sorted(set(state) - set(weights)), sorted(set(weights) - set(state))
    if missing or extra:
        found = [f"lacks {listing(missing)}"] if missing else []
        found += [f"has {listing(extra)}, which the model does not know"] if extra else []
        raise CheckpointError(f"{source} {' and '.join(found)}; {remedy}")
    wrong = [name for name in state if weights[name].shape != state[name].shape]
    if wrong:
        shapes = ", ".join(
            f"{name} {list(weights[name].shape)}, expected {list(state[name].shape)}"
            for name in wrong[:3]
        )
        raise CheckpointError(f"{source} has {len(wrong)} wrong shapes: {shapes}; {remedy}")
    for name, tensor in state.items():
        found_type, own_type = weights[name].dtype, tensor.dtype
        if torch.promote_types(found_type, own_type) != own_type:
            raise CheckpointError(
                f"{source} has {name} as {found_type}, expected {own_type}; {remedy}"
            )
    taken = set()
    if take:
        own = dict(model.named_parameters(remove_duplicate=False))
        for name in kept.keys() & own.keys():
            tensor = weights[kept[name]]
            if tensor.nbytes >= _LARGE and tensor.dtype == own[name].dtype:
                # The same parameter with other memory, so that parts may share it.
                own[name].data = tensor
                taken.add(name)
    copied = {name: weights[kept[name]] for name in kept if name not in taken}
    # The names were checked above.
    model.load_state_dict(copied, strict=not taken)
