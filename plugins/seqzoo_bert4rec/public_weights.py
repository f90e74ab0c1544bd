"""Translates the names of the weights in RecBole's BERT4Rec."""

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

_SOURCE = "RecBole's BERT4Rec"
_LAYER = r"trm_encoder\.layer\.(\d+)\."
_RULES = {
    **RECBOLE_EMBEDDER,
    _LAYER + r"multi_head_attention\.LayerNorm\.(\w+)": r"backbone.layers.\1.attention_norm.\2",
    _LAYER + r"multi_head_attention\.(\w+\.\w+)": r"backbone.layers.\1.\2",
    _LAYER + r"feed_forward\.LayerNorm\.(\w+)": r"backbone.layers.\1.norm.\2",
    _LAYER + r"feed_forward\.dense_1\.(\w+)": r"backbone.layers.\1.inner.\2",
    _LAYER + r"feed_forward\.dense_2\.(\w+)": r"backbone.layers.\1.outer.\2",
    r"output_ffn\.(weight|bias)": r"backbone.transform.\1",
    r"output_ln\.(weight|bias)": r"backbone.norm.\1",
    r"output_bias": "head.bias",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of RecBole's BERT4Rec. The number of heads cannot be inferred from them.

    The last row of its item table is the vector of hidden events. RecBole leaves out the oldest
    event of every history that it reads for a recommendation, so ``drop_oldest`` is set.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    length, width = shape_of(tensors, "position_embedding.weight", 2, _SOURCE)
    shape_of(tensors, "item_embedding.weight", 2, _SOURCE)
    inner, _ = shape_of(tensors, "trm_encoder.layer.0.feed_forward.dense_1.weight", 2, _SOURCE)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "inner_size": inner,
        "num_layers": count_layers(tensors, _LAYER),
        "drop_oldest": True,
    }
    weights = renamed(tensors, _RULES)
    table = weights["embedder.item_table"]
    weights["embedder.item_table"], mask = table[:-1], table[-1]
    weights["embedder.mask_vector"] = mask
    return PublicWeights(settings, weights, assumed=("num_heads", "norm_eps"))
