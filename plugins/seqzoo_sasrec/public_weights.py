"""RecBole's names of SASRec's weights."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

_LAYER = r"trm_encoder\.layer\.(\d+)\."
_RULES = {
    r"item_embedding\.weight": "embedder.item_table",
    r"position_embedding\.weight": "embedder.position_table",
    r"LayerNorm\.(weight|bias)": r"embedder.norm.\1",
    _LAYER + r"multi_head_attention\.LayerNorm\.(\w+)": r"backbone.layers.\1.attention.norm.\2",
    _LAYER + r"multi_head_attention\.(\w+\.\w+)": r"backbone.layers.\1.attention.\2",
    _LAYER + r"feed_forward\.LayerNorm\.(\w+)": r"backbone.layers.\1.feed_forward.norm.\2",
    _LAYER + r"feed_forward\.(\w+\.\w+)": r"backbone.layers.\1.feed_forward.\2",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Weights of RecBole's SASRec; the number of heads is not in them."""
    length, width = shape_of(tensors, "position_embedding.weight", 2)
    inner, _ = shape_of(tensors, "trm_encoder.layer.0.feed_forward.dense_1.weight", 2)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "inner_size": inner,
        "num_layers": count_layers(tensors, _LAYER),
    }
    return PublicWeights(settings, renamed(tensors, _RULES), assumed=("num_heads", "norm_eps"))
