"""Translates the names of the weights of HSTU's research code and of RecTools' ``HSTUModel``."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.errors import CheckpointError
from seqzoo.public_weights import (
    RECTOOLS_EMBEDDER,
    PublicWeights,
    count_layers,
    inside_rectools,
    renamed,
    shape_of,
)

__all__ = ["SPARE", "from_public"]

SPARE = 11
"""Positions of the published code beyond its longest history: ten for outputs and one."""
_BUFFER = "_attn_mask"
_LAYER = r"_hstu\._attention_layers\.(\d+)\."
_RULES = {
    r"_embedding_module\._item_emb\.weight": "embedder.item_table",
    r"_input_features_preproc\._pos_emb\.weight": "embedder.position_table",
    _LAYER + "_uvqk": r"backbone.layers.\1.uvqk",
    _LAYER + r"_rel_attn_bias\._ts_w": r"backbone.layers.\1.bias.time_weight",
    _LAYER + r"_rel_attn_bias\._pos_w": r"backbone.layers.\1.bias.position_weight",
    _LAYER + r"_o\.(weight|bias)": r"backbone.layers.\1.output.\2",
}
_BLOCK = r"transformer_layers\.stu_blocks\.(\d+)\."
_RECTOOLS_RULES = {
    **RECTOOLS_EMBEDDER,
    _BLOCK + "uvqk_proj": r"backbone.layers.\1.uvqk",
    _BLOCK + r"rel_attn\.time_weights": r"backbone.layers.\1.bias.time_weight",
    _BLOCK + r"rel_attn\.pos_weights": r"backbone.layers.\1.bias.position_weight",
    _BLOCK + r"norm_input\.(weight|bias)": r"backbone.layers.\1.norm.\2",
    _BLOCK + r"norm_attn_output\.(weight|bias)": r"backbone.layers.\1.mixed_norm.\2",
    _BLOCK + r"output_mlp\.(weight|bias)": r"backbone.layers.\1.output.\2",
}
_SOURCE = "the published code, meta-recsys/generative-recommenders, or of RecTools' HSTUModel"


def from_public(tensors: Mapping[str, Tensor], spare: int = SPARE) -> PublicWeights:
    """Translate weights of either implementation. The number of heads cannot be inferred from them.

    Args:
        tensors: the tensors by their public names.
        spare: positions of the research code that no history reaches; they are left out.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions, or the research
            code's model has no more than ``spare`` positions.
    """
    own = inside_rectools(tensors)
    if "pos_encoding_layer.pos_emb.weight" in own:
        return _from_rectools(own)
    positions, width = shape_of(tensors, "_input_features_preproc._pos_emb.weight", 2, _SOURCE)
    length = positions - spare
    if length < 1:
        raise CheckpointError(
            f"'_input_features_preproc._pos_emb.weight' has {positions} rows; expected more than "
            f"{spare}, because the published code adds that many to its longest history"
        )
    weights = renamed({n: t for n, t in tensors.items() if n != _BUFFER}, _RULES)
    weights["embedder.position_table"] = weights["embedder.position_table"][:length].clone()
    settings = {
        "max_length": length,
        "divisor": positions,
        "num_layers": count_layers(tensors, _LAYER),
        "affine_norm": False,
        "position_order": "oldest",
    }
    return _translated(weights, positions, width, settings)


def _from_rectools(tensors: Mapping[str, Tensor]) -> PublicWeights:
    length, width = shape_of(tensors, "pos_encoding_layer.pos_emb.weight", 2, _SOURCE)
    weights = renamed(tensors, _RECTOOLS_RULES)
    settings = {
        "max_length": length,
        "divisor": 0,
        "num_layers": count_layers(tensors, _BLOCK),
        "affine_norm": True,
        "position_order": "newest",
    }
    return _translated(weights, length, width, settings)


def _translated(
    weights: dict[str, Tensor], positions: int, width: int, settings: dict[str, object]
) -> PublicWeights:
    """Weights under our names, but with both directions of the position biases."""
    values = shape_of(weights, "backbone.layers.0.output.weight", 2)[1]
    columns = shape_of(weights, "backbone.layers.0.uvqk", 2)[1]
    for name in list(weights):
        if name.endswith(".position_weight"):
            # Entry N - 1 is that of a position itself; those after it are for the future.
            past = weights[name][:positions].flip(0)
            weights[name] = past[: int(str(settings["max_length"]))].clone()
    settings |= {
        "hidden_size": width,
        "value_size": values,
        "query_size": columns // 2 - values,
        "scale_items": True,
    }
    return PublicWeights(settings, weights, assumed=("num_heads", "temperature"))
