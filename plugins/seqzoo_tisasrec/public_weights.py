"""Translates the names of the weights in the public PyTorch code of TiSASRec."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["from_public"]

_SOURCE = "the public code, pmixer/TiSASRec.pytorch"
_BLOCK = r"attention_layers\.(\d+)\."
_FEED = r"forward_layers\.(\d+)\."
_RULES = {
    r"item_emb\.weight": "embedder.item_table",
    r"abs_pos_K_emb\.weight": "backbone.position_keys",
    r"abs_pos_V_emb\.weight": "backbone.position_values",
    r"time_matrix_K_emb\.weight": "backbone.interval_keys",
    r"time_matrix_V_emb\.weight": "backbone.interval_values",
    r"attention_layernorms\.(\d+)\.(\w+)": r"backbone.layers.\1.attention_norm.\2",
    _BLOCK + r"Q_w\.(\w+)": r"backbone.layers.\1.attention.query.\2",
    _BLOCK + r"K_w\.(\w+)": r"backbone.layers.\1.attention.key.\2",
    _BLOCK + r"V_w\.(\w+)": r"backbone.layers.\1.attention.value.\2",
    r"forward_layernorms\.(\d+)\.(\w+)": r"backbone.layers.\1.norm.\2",
    _FEED + r"conv1\.(\w+)": r"backbone.layers.\1.inner.\2",
    _FEED + r"conv2\.(\w+)": r"backbone.layers.\1.outer.\2",
    r"last_layernorm\.(\w+)": r"backbone.norm.\1",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the public PyTorch code, which reads empty positions like events.

    The number of heads cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    shape_of(tensors, "item_emb.weight", 2, _SOURCE)
    length, width = shape_of(tensors, "abs_pos_K_emb.weight", 2, _SOURCE)
    rows, _ = shape_of(tensors, "time_matrix_V_emb.weight", 2, _SOURCE)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "num_layers": count_layers(tensors, _BLOCK),
        "max_interval": rows - 1,
        "scale": "user_min",
        "position_order": "newest",
        "mask_padded_keys": False,
    }
    weights = renamed(tensors, _RULES)
    for name, tensor in weights.items():
        # A convolution with one tap is a linear layer: (D, D, 1) -> (D, D).
        if name.endswith((".inner.weight", ".outer.weight")) and tensor.ndim == 3:
            weights[name] = tensor.squeeze(2)
    # An early version has as many rows of keys as items, of which intervals reach the first.
    keys = weights.get("backbone.interval_keys")
    if keys is not None and len(keys) > rows:
        weights["backbone.interval_keys"] = keys[:rows]
    return PublicWeights(settings, weights, assumed=("num_heads",))
