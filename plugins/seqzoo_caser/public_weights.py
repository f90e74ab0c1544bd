"""Translates the names of the weights of both public PyTorch versions of Caser."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seqzoo.public_weights import PublicWeights, renamed, shape_of

__all__ = ["from_public"]

_SOURCE = "RecBole's Caser, and those of graytowne/caser_pytorch"
_RULES = {
    r"item_embeddings?\.weight": "embedder.item_table",
    r"(conv_[vh]\..+)": r"backbone.filters.\1",
    r"(fc[12]\..+)": r"backbone.\1",
    r"W2\.weight": "head.output_table",
    r"b2\.weight": "head.bias",
}


def from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of RecBole's Caser, or of the port that one of the authors made.

    The vectors of the users are left out: the weights do not say which user each belongs to. All
    users have the scores of a user whose vector is zero.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    vertical, _, window, _ = shape_of(tensors, "conv_v.weight", 4, _SOURCE)
    horizontal, _, _, width = shape_of(tensors, "conv_h.0.weight", 4, _SOURCE)
    settings: dict[str, Any] = {
        "hidden_size": width,
        "window": window,
        "vertical_filters": vertical,
        "horizontal_filters": horizontal,
    }
    weights = renamed(tensors, _RULES)
    if "W2.weight" in tensors:
        shape_of(tensors, "item_embeddings.weight", 2, _SOURCE)
        shape_of(tensors, "W2.weight", 2, _SOURCE)
        shape_of(tensors, "b2.weight", 2, _SOURCE)
        weights.pop("user_embeddings.weight", None)
        weights["head.output_table"] = weights["head.output_table"][:, :width]
        weights["head.bias"] = weights["head.bias"][:, 0]
        settings |= {"second_layer": False, "head": "untied-softmax"}
    else:
        shape_of(tensors, "item_embedding.weight", 2, _SOURCE)
        shape_of(tensors, "fc2.weight", 2, _SOURCE)
        weights.pop("user_embedding.weight", None)
        weights["backbone.fc2.weight"] = weights["backbone.fc2.weight"][:, :width]
        settings |= {"window_padding": "right"}
    # Padding is a row of the public tables, which is read where a window has no event.
    weights["backbone.start"] = weights["embedder.item_table"][0].clone()
    return PublicWeights(settings, weights, assumed=("activation",))
