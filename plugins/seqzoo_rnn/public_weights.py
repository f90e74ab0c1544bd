"""Translates the names of the weights in RecBole's GRU4Rec and NARM."""

from collections.abc import Mapping

from torch import Tensor

from seqzoo.public_weights import PublicWeights, count_layers, renamed, shape_of

__all__ = ["gru4rec_from_public", "narm_from_public"]

_TABLE = {r"item_embedding\.weight": "embedder.item_table"}
_OWN = {r"((?:gru_layers|dense|gru|a_1|a_2|v_t|b)\..+)": r"backbone.\1"}


def gru4rec_from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of RecBole's GRU4Rec; ``max_length`` cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    return _from_public(tensors, "gru_layers", "RecBole's GRU4Rec")


def narm_from_public(tensors: Mapping[str, Tensor]) -> PublicWeights:
    """Translate weights of RecBole's NARM; ``max_length`` cannot be inferred from them.

    Raises:
        CheckpointError: the tensors have other names or numbers of dimensions.
    """
    return _from_public(tensors, "gru", "RecBole's NARM")


def _from_public(tensors: Mapping[str, Tensor], gru: str, source: str) -> PublicWeights:
    _, width = shape_of(tensors, "item_embedding.weight", 2, source)
    _, gru_size = shape_of(tensors, f"{gru}.weight_hh_l0", 2, source)
    settings = {
        "hidden_size": width,
        "gru_size": gru_size,
        "num_layers": count_layers(tensors, rf"{gru}\.weight_hh_l(\d+)"),
    }
    return PublicWeights(settings, renamed(tensors, _TABLE | _OWN), assumed=("max_length",))
