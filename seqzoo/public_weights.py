"""What an importer of other implementations' weights gets and gives.

A plugin names a function as the importer of its architecture. It gets the tensors of a state dict
by the names of the public implementation and returns ``PublicWeights``; ``seqzoo import`` does the
rest.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seqzoo.errors import CheckpointError

_SHOWN = 8


@dataclass(frozen=True)
class PublicWeights:
    """The weights of another implementation in the terms of an architecture.

    Attributes:
        settings: those of the model that shapes and names tell.
        weights: tensors by the names of the model's own ``state_dict()``; a tensor that has no
            place keeps its name and is reported.
        assumed: settings that nothing in the weights tells, and that matter: they keep their
            defaults unless the user sets them.
    """

    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    assumed: tuple[str, ...] = ()


Importer = Callable[[Mapping[str, Tensor]], PublicWeights]
"""What a plugin registers as ``importer`` of an architecture."""


def renamed(tensors: Mapping[str, Tensor], rules: Mapping[str, str]) -> dict[str, Tensor]:
    r"""Tensors under new names.

    Args:
        tensors: by their old names.
        rules: regular expressions of whole old names to new names, with ``\\\\1`` for groups; the
            first that matches counts, and a name that none matches stays.
    """
    result = {}
    for name, tensor in tensors.items():
        for pattern, new in rules.items():
            if match := re.fullmatch(pattern, name):
                name = match.expand(new)
                break
        result[name] = tensor
    return result


def shape_of(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that an importer cannot do without.

    Raises:
        CheckpointError: it is not there, or has another number of dimensions.
    """
    if name not in tensors:
        names = ", ".join(sorted(tensors)[:_SHOWN])
        raise CheckpointError(
            f"the weights have no tensor '{name}', which every model of this architecture has; "
            f"they begin with {names or 'nothing'}; is --architecture right?"
        )
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise CheckpointError(f"tensor '{name}' has shape {shape}, expected {dimensions} numbers")
    return shape


def count_layers(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers the one group of ``pattern`` takes in the tensors' names."""
    found = (re.match(pattern, name) for name in tensors)
    return len({match.group(1) for match in found if match})
