"""Translates the names of the weights of a plain PyTorch module with the same parts."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

_SOURCE = "a module of items, positions, an nn.TransformerEncoder and a norm"
_RULES = {
    r"items\.weight": "embedder.item_table",
    r"positions\.weight": "embedder.position_table",
    r"encoder\.(layers\..+)": r"backbone.\1",
    r"norm\.(weight|bias)": r"backbone.norm.\1",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights; the number of heads cannot be inferred from them.

    The last row of ``items`` is the vector of hidden events.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    length, width = shape_of(tensors, "positions.weight", 2, _SOURCE)
    inner, _ = shape_of(tensors, "encoder.layers.0.linear1.weight", 2, _SOURCE)
    table_shape = shape_of(tensors, "items.weight", 2, _SOURCE)
    settings = {
        "hidden_size": width,
        "max_length": length,
        "inner_size": inner,
        "num_layers": count_layers(tensors, r"encoder\.layers\.(\d+)\."),
    }
    weights = renamed(tensors, _RULES)
    table = weights["embedder.item_table"]
    weights["embedder.item_table"] = table[: table_shape[0] - 1]
    weights["embedder.mask_vector"] = table[-1]
    return PublicWeights(settings, weights, assumed=("num_heads",))
