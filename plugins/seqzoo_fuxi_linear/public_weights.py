"""Translates the names of the weights in FuXi-Linear's published code."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seqzoo.errors import CheckpointError
from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["from_public"]

_SOURCE = "the published code, USTC-StarTeam/fuxi-linear"
_LAYER = r"_fuxi\._attention_layers\.(\d+)\."
_FIRST = "_fuxi._attention_layers.0."
_OWN = r"backbone.layers.\1."
_RULES = {
    r"_embedding_module\._item_emb\.weight": "embedder.item_table",
    r"_input_features_preproc\._pos_emb\.weight": "embedder.position_table",
    _LAYER + r"_uvqk": _OWN + "uqkv.weight",
    _LAYER + r"_retention\._gamma": _OWN + "retention_decay",
    _LAYER + r"_channel_t\.alpha": _OWN + "time_gain",
    _LAYER + r"_channel_t\.beta": _OWN + "time_skip",
    _LAYER + r"_channel_t\.proj_v\.weight": _OWN + "time_proj.weight",
    _LAYER + r"_channel_p\._emb": _OWN + "position_vectors",
    _LAYER + r"_channel_p\._alpha": _OWN + "position_gain",
    _LAYER + r"_channel_p\._beta": _OWN + "position_skip",
    _LAYER + r"_channel_p\._proj_p\.weight": _OWN + "position_proj.weight",
    _LAYER + r"_mffn\.lin0\.weight": _OWN + "mix.weight",
    _LAYER + r"_mffn\.lin1\.weight": _OWN + "ffn_gate.weight",
    _LAYER + r"_mffn\.lin2\.weight": _OWN + "ffn_out.weight",
    _LAYER + r"_mffn\.lin3\.weight": _OWN + "ffn_value.weight",
}
_BUFFERS = re.compile(
    rf"_attn_mask|{_LAYER}(_channel_t\.(_gamma|_intervals|_scale_factor)"
    r"|.*\._chunkwise_casual_mask)"
)
"""What follows from the settings, and the fading of later layers, which nothing reads."""


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the published FuXi-Linear.

    ``max_length`` becomes the number of rows of the position tables. The published code makes at
    least 11 more of them than the longest history it is trained on; ``model.max_length=L`` and
    ``model.spare_positions`` for the rest keep untrained rows from being read. The periods are
    stored in the unit of the training data's timestamps and are taken as seconds.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    rows, width = shape_of(tensors, "_input_features_preproc._pos_emb.weight", 2, _SOURCE)
    _, columns = shape_of(tensors, _FIRST + "_uvqk", 2, _SOURCE)
    (heads,) = shape_of(tensors, _FIRST + "_retention._gamma", 1, _SOURCE)
    (periods,) = shape_of(tensors, _FIRST + "_channel_t._intervals", 1, _SOURCE)
    _, size = shape_of(tensors, _FIRST + "_channel_p._emb", 2, _SOURCE)
    inner, _ = shape_of(tensors, _FIRST + "_mffn.lin1.weight", 2, _SOURCE)
    decay = tensors.get(_FIRST + "_channel_t._gamma")
    seconds = [int(value) for value in tensors[_FIRST + "_channel_t._intervals"]]
    if min(seconds) < 1:
        raise CheckpointError(
            f"{_FIRST}_channel_t._intervals holds a period of {min(seconds)} seconds; expected 1 "
            "or more: the file is not of this architecture, or damaged"
        )
    settings: dict[str, Any] = {
        "hidden_size": width,
        "max_length": rows,
        "num_layers": count_layers(tensors, _LAYER),
        "num_heads": heads,
        "query_size": (columns - 4 * width) // (2 * heads),
        "num_periods": periods,
        "first_period": float(seconds[0]),
        "time_skip": _FIRST + "_channel_t.alpha" in tensors,
        "learn_decay": decay is not None and len(decay) == periods > 1,
        "position_size": size,
        "ffn_expand": inner // width,
    }
    if periods > 1:
        settings["period_ratio"] = seconds[1] / seconds[0]
    kept = {name: tensor for name, tensor in tensors.items() if not _BUFFERS.fullmatch(name)}
    weights = renamed(kept, _RULES)
    if settings["learn_decay"] and decay is not None:
        weights["backbone.oscillations.decay"] = decay
    for name, tensor in weights.items():
        if name.endswith("uqkv.weight"):
            weights[name] = tensor.T
    return PublicWeights(settings, weights)
