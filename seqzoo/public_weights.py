"""The interface of an importer, which translates the weights of another implementation.

A plugin registers a function as the importer of its architecture. The function gets the tensors of
a state dict, under the names of the other implementation, and returns ``PublicWeights``. ``seqzoo
import`` reads the file, calls it, builds the model and checks that all tensors fit.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seqzoo.errors import CheckpointError

__all__ = [
    "RECBOLE_EMBEDDER",
    "RECTOOLS_EMBEDDER",
    "Importer",
    "PublicWeights",
    "count_layers",
    "inside_rectools",
    "renamed",
    "shape_of",
]

RECBOLE_EMBEDDER = {
    r"item_embedding\.weight": "embedder.item_table",
    r"position_embedding\.weight": "embedder.position_table",
    r"LayerNorm\.(weight|bias)": r"embedder.norm.\1",
}
"""Rules for ``renamed``: the item table, the positions and their LayerNorm in RecBole."""

RECTOOLS_EMBEDDER = {
    r"item_net_blocks\.0\.ids_emb\.weight": "embedder.item_table",
    r"pos_encoding_layer\.pos_emb\.weight": "embedder.position_table",
}
"""Rules for ``renamed``: the item table and the positions of RecTools' transformers."""

_RECTOOLS_OUTER = r"^.*\.(?=(item_net_blocks|pos_encoding_layer|transformer_layers)\.)"
_SHOWN = 8


@dataclass(frozen=True)
class PublicWeights:
    """The weights of another implementation, translated for an architecture.

    Attributes:
        settings: settings of the model that can be inferred from names and shapes.
        weights: tensors under the names of the model's own ``state_dict()``. A tensor that the
            architecture does not have keeps its name; the import then fails and shows it.
        assumed: settings that cannot be inferred but change results. They have their default values
            unless the user sets them, and the import names them.
    """

    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    assumed: tuple[str, ...] = ()


Importer = Callable[[Mapping[str, Tensor]], PublicWeights]
"""Type of the function that a plugin registers as ``importer`` of an architecture.

It gets tensors by the names of the other implementation and raises ``CheckpointError`` if it does
not know the names."""


def renamed(tensors: Mapping[str, Tensor], rules: Mapping[str, str]) -> dict[str, Tensor]:
    r"""Rename tensors.

    Args:
        tensors: tensors by their old names.
        rules: new names by regular expressions, each of which must match the whole old name; a new
            name may refer to groups by ``\1``. The first rule that matches is applied; a name that
            no rule matches is kept.
    """
    result = {}
    for name, tensor in tensors.items():
        for pattern, new in rules.items():
            if match := re.fullmatch(pattern, name):
                name = match.expand(new)
                break
        result[name] = tensor
    return result


def inside_rectools(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a RecTools model by the names that they have in its network alone."""
    return {re.sub(_RECTOOLS_OUTER, "", name): tensor for name, tensor in tensors.items()}


def shape_of(
    tensors: Mapping[str, Tensor], name: str, dimensions: int, source: str = ""
) -> tuple[int, ...]:
    """The shape of a tensor that every supported state dict has.

    Args:
        tensors: tensors by the names of the other implementation.
        name: the name of the tensor.
        dimensions: expected number of dimensions.
        source: the implementation whose names the importer knows, for the message: "RecBole's
            SASRec" for example.

    Raises:
        CheckpointError: there is no such tensor, or it has another number of dimensions.
    """
    if name not in tensors:
        names = ", ".join(sorted(tensors)[:_SHOWN])
        known = f"the names of {source}" if source else f"names with '{name}'"
        raise CheckpointError(
            f"the naming scheme of these weights is not known: there is no tensor '{name}', the "
            f"first names are {names or 'none'}; the importer of this architecture knows {known}. "
            "Rename the tensors, or choose another --architecture"
        )
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise CheckpointError(
            f"tensor '{name}' has shape {shape}; expected {dimensions} dimensions"
        )
    return shape


def count_layers(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """The number of layers: how many values the group of ``pattern`` has in the names."""
    found = (re.match(pattern, name) for name in tensors)
    return len({match.group(1) for match in found if match})
