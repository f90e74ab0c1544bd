"""Translates the names of the weights in RecBole's SASRec."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import (
    RECBOLE_EMBEDDER,
    PublicWeights,
    count_layers,
    renamed,
    shape_of,
)

__all__ = ["from_public"]

_SOURCE = "RecBole's SASRec"
_LAYER = r"trm_encoder\.layer\.(\d+)\."
_RULES = {
    **RECBOLE_EMBEDDER,
    _LAYER + r"multi_head_attention\.LayerNorm\.(\w+)": r"backbone.layers.\1.attention.norm.\2",
    _LAYER + r"multi_head_attention\.(\w+\.\w+)": r"backbone.layers.\1.attention.\2",
    _LAYER + r"feed_forward\.LayerNorm\.(\w+)": r"backbone.layers.\1.feed_forward.norm.\2",
    _LAYER + r"feed_forward\.(\w+\.\w+)": r"backbone.layers.\1.feed_forward.\2",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of RecBole's SASRec. The number of heads cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    length, width = shape_of(tensors, "position_embedding.weight", 2, _SOURCE)
    inner, _ = shape_of(tensors, "trm_encoder.layer.0.feed_forward.dense_1.weight", 2, _SOURCE)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "inner_size": inner,
        "num_layers": count_layers(tensors, _LAYER),
    }
    return PublicWeights(settings, renamed(tensors, _RULES), assumed=("num_heads", "norm_eps"))
