"""Translates the names of the weights in TiM4Rec's released code."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["from_public"]

_SOURCE = "the released code, AlwaysFHao/TiM4Rec"
_LAYER = r"ssd_layers\.(\d+)\."
_RULES = {
    r"item_embedding\.weight": "embedder.item_table",
    r"in_layer_norm\.(weight|bias)": r"embedder.norm.\1",
    r"layer_norm_time\.(weight|bias)": r"backbone.layer_norm_time.\1",
    r"(ssd_layers\..+)": r"backbone.\1",
}
_GATE = "ssd.time_gate_residual.1.weight"


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of the released TiM4Rec, with or without its time branch.

    The last layer's gate and norm of the time branch are dropped: they would feed a further layer,
    and no result depends on them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    layers = count_layers(tensors, _LAYER)
    unused = re.compile(rf"ssd_layers\.{layers - 1}\.ssd\.(time_gate_residual|time_layer_norm)\..+")
    kept = {name: tensor for name, tensor in tensors.items() if not unused.fullmatch(name)}
    _, width = shape_of(tensors, "item_embedding.weight", 2, _SOURCE)
    (heads,) = shape_of(tensors, "ssd_layers.0.ssd.dt_bias", 1, _SOURCE)
    (inner,) = shape_of(tensors, "ssd_layers.0.ssd.norm.weight", 1, _SOURCE)
    channels, _, taps = shape_of(tensors, "ssd_layers.0.ssd.conv1d.weight", 3, _SOURCE)
    settings: dict[str, Any] = {
        "hidden_size": width,
        "num_layers": layers,
        "expand": inner // width,
        "head_size": inner // heads,
        "state_size": (channels - inner) // 2,
        "conv_size": taps,
    }
    assumed = ["norm_eps", "activation"]
    if "layer_norm_time.weight" in tensors:
        (length,) = shape_of(tensors, "layer_norm_time.weight", 1, _SOURCE)
        settings |= {"time_mode": "reference", "max_length": length}
        if layers > 1:
            gates, _ = shape_of(tensors, f"ssd_layers.0.{_GATE}", 2, _SOURCE)
            settings["p2p_residual"] = gates > 1
    else:
        settings["time_mode"] = "off"
        assumed.append("max_length")
    return PublicWeights(settings, renamed(kept, _RULES), tuple(assumed))
