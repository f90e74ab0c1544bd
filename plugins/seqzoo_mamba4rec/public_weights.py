"""The names of Mamba4Rec's weights in the paper's code, with mamba-ssm's inside a block."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

_LAYER = r"mamba_layers\.(\d+)\."
_RULES = {
    r"item_embedding\.weight": "embedder.item_table",
    r"LayerNorm\.(weight|bias)": r"embedder.norm.\1",
    _LAYER + r"LayerNorm\.(\w+)": r"backbone.layers.\1.norm.\2",
    _LAYER + r"ffn\.LayerNorm\.(\w+)": r"backbone.layers.\1.ffn.norm.\2",
    _LAYER + r"(.+)": r"backbone.layers.\1.\2",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Weights of the published Mamba4Rec; how many events it read is not in them."""
    _, width = shape_of(tensors, "item_embedding.weight", 2)
    inner, states = shape_of(tensors, "mamba_layers.0.mamba.A_log", 2)
    *_, taps = shape_of(tensors, "mamba_layers.0.mamba.conv1d.weight", 3)
    settings = {
        "hidden_size": width,
        "num_layers": count_layers(tensors, _LAYER),
        "state_size": states,
        "conv_size": taps,
        "expand": inner // width,
    }
    return PublicWeights(settings, renamed(tensors, _RULES), assumed=("max_length", "norm_eps"))
