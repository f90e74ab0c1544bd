"""Translates the names of the weights of RecTools' ``SASRecModel`` with LiGR layers."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import (
    RECTOOLS_EMBEDDER,
    PublicWeights,
    count_layers,
    inside_rectools,
    renamed,
    shape_of,
)

__all__ = ["from_public"]

_SOURCE = "RecTools' SASRecModel with LiGRLayers"
_LAYER = r"transformer_layers\.transformer_blocks\.(\d+)\."
_OURS = r"backbone.layers.\1."
_RULES = {
    **RECTOOLS_EMBEDDER,
    _LAYER + r"multi_head_attn\.in_proj_(weight|bias)": _OURS + r"attention.project.\2",
    _LAYER + r"multi_head_attn\.out_proj\.(weight|bias)": _OURS + r"attention.output.\2",
    _LAYER + r"layer_norm_(\d)\.(weight|bias)": _OURS + r"norm_\2.\3",
    _LAYER + r"feed_forward\.ff_linear_(\d)\.weight": _OURS + r"feed_forward.linear_\2.weight",
    _LAYER + r"gating_linear_(\d)\.(weight|bias)": _OURS + r"gate_\2.\3",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of RecTools. The number of heads cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    own = inside_rectools(tensors)
    length, width = shape_of(own, "pos_encoding_layer.pos_emb.weight", 2, _SOURCE)
    first = "transformer_layers.transformer_blocks.0.feed_forward.ff_linear_1.weight"
    inner, _ = shape_of(own, first, 2, _SOURCE)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "inner_factor": inner // width,
        "num_layers": count_layers(own, _LAYER),
        "position_order": "newest",
    }
    return PublicWeights(settings, renamed(own, _RULES), assumed=("num_heads",))
