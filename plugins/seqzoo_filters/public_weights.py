"""Translates the names of the weights in the published BSARec and FMLP-Rec."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["bsarec_from_public", "fmlp_from_public"]

_SHARED = {
    r"item_embeddings\.weight": "embedder.item_table",
    r"position_embeddings\.weight": "backbone.slots.position_table",
    r"LayerNorm\.(weight|bias)": r"backbone.slots.norm.\1",
}
_BSAREC_BLOCK = r"item_encoder\.blocks\.(\d+)\."
_BSAREC_LAYER = _BSAREC_BLOCK + r"layer\."
_BSAREC = _SHARED | {
    # Called beta until April 2024; it was squared then as well.
    _BSAREC_LAYER + r"filter_layer\.(?:sqrt_)?beta": r"backbone.blocks.\1.filter.sqrt_beta",
    _BSAREC_LAYER + r"filter_layer\.LayerNorm\.(\w+)": r"backbone.blocks.\1.filter.norm.\2",
    _BSAREC_LAYER + r"attention_layer\.LayerNorm\.(\w+)": r"backbone.blocks.\1.attention.norm.\2",
    _BSAREC_LAYER + r"attention_layer\.(\w+\.\w+)": r"backbone.blocks.\1.attention.\2",
    _BSAREC_BLOCK + r"feed_forward\.LayerNorm\.(\w+)": r"backbone.blocks.\1.feed_forward.norm.\2",
    _BSAREC_BLOCK + r"feed_forward\.(\w+\.\w+)": r"backbone.blocks.\1.feed_forward.\2",
}
_FMLP_LAYER = r"item_encoder\.layer\.(\d+)\."
_FMLP = _SHARED | {
    _FMLP_LAYER + r"filterlayer\.complex_weight": r"backbone.blocks.\1.factors",
    _FMLP_LAYER + r"filterlayer\.LayerNorm\.(\w+)": r"backbone.blocks.\1.norm.\2",
    _FMLP_LAYER + r"intermediate\.LayerNorm\.(\w+)": r"backbone.blocks.\1.feed_forward.norm.\2",
    _FMLP_LAYER + r"intermediate\.(\w+\.\w+)": r"backbone.blocks.\1.feed_forward.\2",
}


def bsarec_from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the authors' BSARec.

    Heads, the weight of the filter and its cutoff cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    inner = "item_encoder.blocks.0.feed_forward.dense_1.weight"
    source = "the authors' code, yehjin-shin/BSARec"
    assumed = ("num_heads", "alpha", "cutoff")
    return _translated(tensors, _BSAREC, _BSAREC_BLOCK, inner, source, assumed)


def fmlp_from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the authors' FMLP-Rec.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    inner = "item_encoder.layer.0.intermediate.dense_1.weight"
    source = "the authors' code, Woeee/FMLP-Rec"
    return _translated(tensors, _FMLP, _FMLP_LAYER, inner, source, ())


def _translated(
    tensors: Mapping[str, Tensor],
    rules: Mapping[str, str],
    layer: str,
    inner: str,
    source: str,
    assumed: tuple[str, ...],
) -> PublicWeights:
    length, width = shape_of(tensors, "position_embeddings.weight", 2, source)
    shape_of(tensors, "item_embeddings.weight", 2, source)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "num_layers": count_layers(tensors, layer),
        "inner_size": shape_of(tensors, inner, 2, source)[0],
    }
    weights = renamed(tensors, rules)
    # The published code fills empty slots with row 0 of the item table.
    weights["backbone.slots.padding"] = weights["embedder.item_table"][0].clone()
    for name, tensor in weights.items():
        # (1, 1, D) -> (D), and (1, F, D, 2) -> (F, D, 2).
        if name.endswith(".sqrt_beta"):
            weights[name] = tensor.flatten()
        elif name.endswith(".factors"):
            weights[name] = tensor.squeeze(0)
    return PublicWeights(settings, weights, assumed)
