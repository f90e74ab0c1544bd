"""Translates the names of the weights in Mamba4Rec's published code."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["from_public"]

_SOURCE = "the published code, chengkai-liu/Mamba4Rec"
_LAYER = r"mamba_layers\.(\d+)\."
_RULES = {
    r"item_embedding\.weight": "embedder.item_table",
    r"LayerNorm\.(weight|bias)": r"embedder.norm.\1",
    _LAYER + r"LayerNorm\.(\w+)": r"backbone.layers.\1.norm.\2",
    _LAYER + r"ffn\.LayerNorm\.(\w+)": r"backbone.layers.\1.ffn.norm.\2",
    _LAYER + r"(.+)": r"backbone.layers.\1.\2",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the published Mamba4Rec; ``max_length`` cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    _, width = shape_of(tensors, "item_embedding.weight", 2, _SOURCE)
    inner, states = shape_of(tensors, "mamba_layers.0.mamba.A_log", 2, _SOURCE)
    *_, taps = shape_of(tensors, "mamba_layers.0.mamba.conv1d.weight", 3, _SOURCE)
    settings = {
        "hidden_size": width,
        "num_layers": count_layers(tensors, _LAYER),
        "state_size": states,
        "conv_size": taps,
        "expand": inner // width,
    }
    return PublicWeights(settings, renamed(tensors, _RULES), assumed=("max_length", "norm_eps"))
