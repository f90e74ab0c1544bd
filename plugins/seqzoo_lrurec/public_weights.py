"""Translates the names of the weights in LRURec's published code."""

from collections.abc import Mapping

import torch
from torch import Tensor

from seqzoo.errors import CheckpointError
from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["from_public"]

_SOURCE = "the published code, yueqirex/LRURec"
_BLOCK = r"model\.lru_blocks\.(\d+)\."
_RULES = {
    r"embedding\.token\.weight": "embedder.item_table",
    r"embedding\.layer_norm\.(weight|bias)": r"embedder.norm.\1",
    r"model\.bias": "head.bias",
    _BLOCK + r"lru_layer\.layer_norm\.(\w+)": r"backbone.layers.\1.norm.\2",
    _BLOCK + r"lru_layer\.(.+)": r"backbone.layers.\1.lru.\2",
    _BLOCK + r"feed_forward\.layer_norm\.(\w+)": r"backbone.layers.\1.ffn.norm.\2",
    _BLOCK + r"feed_forward\.(.+)": r"backbone.layers.\1.ffn.\2",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the published LRURec; ``max_length`` cannot be inferred from them.

    Complex weights become pairs of real ones.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions, or a projection is
            not complex.
    """
    _, width = shape_of(tensors, "embedding.token.weight", 2, _SOURCE)
    _, channels = shape_of(tensors, "model.lru_blocks.0.lru_layer.params_log", 2, _SOURCE)
    settings = {
        "hidden_size": width,
        "num_layers": count_layers(tensors, _BLOCK),
        "expand": channels // width,
        "output_bias": True,
    }
    weights: dict[str, Tensor] = {}
    for name, tensor in renamed(tensors, _RULES).items():
        weights |= _real(name, tensor)
    return PublicWeights(settings, weights, assumed=("max_length",))


def _real(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A tensor under its own name, or what takes its place where complex numbers are pairs."""
    part, _, last = name.rpartition(".lru.")
    if last == "params_log":
        if tensor.dim() != 2 or len(tensor) != 3:
            raise CheckpointError(f"'{name}' has shape {list(tensor.shape)}; expected 3 rows")
        names = ("nu", "theta", "log_gamma")
        return {f"{part}.lru.{own}": row for own, row in zip(names, tensor, strict=True)}
    if not part:
        return {name: tensor}
    if not tensor.is_complex():
        raise CheckpointError(
            f"'{name}' is {str(tensor.dtype).removeprefix('torch.')}; the published code has "
            "complex numbers there. Save the weights as they are, without a change of their dtype"
        )
    if last == "in_proj.weight":
        tensor = torch.view_as_real(tensor).transpose(1, 2).flatten(0, 1)
    elif last == "in_proj.bias":
        tensor = torch.view_as_real(tensor).flatten()
    elif last == "out_proj.weight":
        tensor = torch.view_as_real(tensor.conj().resolve_conj()).flatten(1)
    elif last == "out_proj.bias":
        tensor = tensor.real
    return {name: tensor}
