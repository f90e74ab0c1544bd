"""Build the parts of a model from settings, without trusting the sizes in them.

The settings of a checkpoint come from outside: a width of a million or a billion layers would fill
the memory long before any tensor is compared. So building stops as soon as a part requests far more
values than the weights have; where possible, before the memory is allocated.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from seqzoo.config import choose_parts, model_config, part_config, parts_of
from seqzoo.data.features import sizes_of
from seqzoo.data.item_table import ItemTable
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, UsageError, nearest
from seqzoo.interfaces import Backbone, Embedder, Head
from seqzoo.objectives.base import Objective
from seqzoo.parts.layers import INITIAL_STD
from seqzoo.plugins import catalogue

__all__ = ["MissingFeatureError", "Parts", "TooLargeError", "build_parts", "sized_by"]

_SLACK = 1 << 20
_LARGE = 1 << 24
"""Bytes of a tensor whose memory is saved."""
_LARGEST_BUFFERS = 1 << 28
_DRAWN = torch.Tag.nondeterministic_seeded
_LOOK_UPS = ("aten::embedding", "aten::_embedding_bag", "aten::_embedding_bag_forward_only")


@dataclass(frozen=True)
class Parts:
    """The parts of a model, and what they were built from.

    Attributes:
        config: resolved settings.
        embedder, backbone, head: the parts.
        item_features: the features of the items, if the embedder reads any.
    """

    config: dict[str, Any]
    embedder: Embedder
    backbone: Backbone
    head: Head
    objective: Objective
    item_features: ItemTable | None = None


def build_parts(
    architecture: str,
    settings: Mapping[str, Any],
    vocabulary: Vocabulary,
    item_features: ItemTable | None = None,
) -> Parts:
    """Build the parts of an architecture with random weights from torch's global generator.

    Args:
        architecture: registered name.
        settings: settings that differ from the architecture's defaults.
        vocabulary: the V items.
        item_features: their features, for an embedder that reads them.

    Raises:
        UnknownNameError: no architecture has the name.
        ConfigError: a setting is unknown or has the wrong type, or a part reads a feature of events
            that there is not.
        UsageError: the embedder needs item features and there are none, or the other way around.
        PluginError: a part cannot be imported.
    """
    everything = catalogue()
    spec = everything.architectures.get(architecture)
    config = model_config(spec, settings, everything)
    embedder_spec, backbone_spec, head_spec, objective_spec = parts_of(
        choose_parts(spec, config, everything), everything
    )

    def part(part_spec: Any, *arguments: Any) -> Any:
        return part_spec.load()(part_config(part_spec.load_config(), config), *arguments)

    embedder = part(embedder_spec, len(vocabulary))
    _check_features(embedder, embedder_spec.name, item_features)
    sizes = sizes_of(vocabulary.features)
    _give_features(embedder, f"embedder '{embedder_spec.name}'", sizes)
    # Before the other parts, which may read the item table.
    embedder.fit(vocabulary, item_features)
    backbone = part(backbone_spec)
    _give_features(backbone, f"backbone '{backbone_spec.name}'", sizes)
    objective = part(objective_spec, backbone)
    if "mask" in objective.needs and embedder.takes_mask:
        embedder.mask_vector = nn.Parameter(torch.empty(embedder.item_table.shape[1]))
        nn.init.normal_(embedder.mask_vector, 0.0, INITIAL_STD)
    head = part(head_spec, embedder)
    return Parts(config, embedder, backbone, head, objective, item_features)


def _check_features(embedder: Embedder, name: str, item_features: ItemTable | None) -> None:
    """Check that item features are given to an embedder that reads them, and to no other."""
    if embedder.uses_item_features and item_features is None:
        raise UsageError(
            f"the embedder '{name}' reads item features, and none are given; give a table with the "
            "item ids (--item-features FILE), or the titles of the data "
            "(data.item_features=labels)"
        )
    if item_features is not None and not embedder.uses_item_features:
        raise UsageError(
            f"the embedder '{name}' reads no item features; choose one that does, for example "
            "model.embedder=item-features or item-features-position, or leave them out"
        )


class MissingFeatureError(ConfigError):
    """A part reads a feature that the data do not have."""

    def __init__(self, message: str, feature: str) -> None:
        super().__init__(message)
        self.feature = feature


def _give_features(part: Embedder | Backbone, name: str, sizes: Mapping[str, int | None]) -> None:
    """Give a part the sizes of the features that it reads.

    Raises:
        MissingFeatureError: there is no such feature.
    """
    if not part.uses_features:
        return
    for feature in part.uses_features:
        if feature not in sizes:
            raise MissingFeatureError(
                f"the {name} reads the feature '{feature}' of every event, which the data do not "
                f"have{nearest(feature, list(sizes)) or ';'} name its column: "
                f"'data.features=[{', '.join(part.uses_features)}]'",
                feature,
            )
    part.set_features({feature: sizes[feature] for feature in part.uses_features})


class TooLargeError(BaseException):
    """Stops building. Not an ``Exception``, so that no part can catch it by accident."""


@contextmanager
def sized_by(
    tensors: Mapping[str, Tensor], item_features: ItemTable | None = None
) -> Iterator[None]:
    """Build modules for these weights: no larger than the weights, and without random values.

    Args:
        tensors: the weights.
        item_features: the features of the items, which buffers may hold.

    Raises:
        TooLargeError: a module requests far more values than the weights hold.
    """
    values = sum(tensor.numel() for tensor in tensors.values())
    values += 0 if item_features is None else item_features.size
    most = 2 * values + _SLACK
    with _Bounded(most + _LARGEST_BUFFERS), _counted(most):
        yield


class _Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations with a huge result, and draws no random values for parameters.

    Every parameter is overwritten by a checkpoint's weights, so drawing values for it is wasted
    time. Everything else is computed, as buffers need not be in a checkpoint. Large tensors consist
    of zeros that take no memory before something else is written.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Telling torch's compiler to leave this mode alone would import all of it: one second.
        return False

    def __init__(self, most: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._most = most
        self._zeros: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if args and isinstance(args[0], nn.Parameter) and _DRAWN in func.tags:
            # Zeros, not uninitialised memory: some initialisers draw until all values are small.
            return args[0] if args[0].data_ptr() in self._zeros else args[0].zero_()
        if _requested(func._schema.name, args) > self._most:
            raise TooLargeError
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.empty.memory_format and made.nbytes >= _LARGE and made.is_cpu:
            made = _lazy_zeros(made)
            self._zeros.add(made.data_ptr())
        return made


def _lazy_zeros(like: Tensor) -> Tensor:
    """Zeros of a shape and dtype, in pages that the system provides when they are written."""
    content = torch.from_numpy(np.zeros(like.nbytes, np.uint8))
    return content.view(like.dtype).view(like.shape)


def _requested(operation: str, args: tuple[Any, ...]) -> float:
    """How many values an operation creates, as far as its arguments show before it runs."""
    numbers = [value for value in args if isinstance(value, int | float)]
    if operation in ("aten::arange", "aten::range"):
        first, last, step = {1: (0, *numbers, 1), 2: (*numbers, 1)}.get(len(numbers), numbers[:3])
        return abs((last - first) / step) if step else 0
    if operation in ("aten::eye", "aten::linspace", "aten::logspace"):
        return math.prod(int(number) for number in numbers[-2:])
    sizes = [value for value in args if isinstance(value, list)]
    counts = [math.prod(size) for size in sizes if all(isinstance(n, int) for n in size)]
    shapes = [value.shape for value in args if isinstance(value, Tensor)]
    if operation in _LOOK_UPS:
        # Rows of a table for indices, or one for each bag of them.
        table, indices, *bags = shapes
        return table[-1] * math.prod(bags[0] if bags else indices)
    # Operands of an element-wise operation are stretched to one shape.
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    together = math.prod(max(extents) for extents in zip(*padded, strict=True)) if padded else 1
    if operation == "aten::repeat":
        return together * max(counts, default=1)
    return max([together, *counts])


@contextmanager
def _counted(most: int) -> Iterator[None]:
    """Stop once the modules have too many parameters, or far too many values in buffers.

    The hooks apply to the whole process, so modules of other threads are ignored.
    """
    thread = threading.get_ident()
    found = {"parameters": 0, "buffers": 0}
    limits = {"parameters": most, "buffers": most + _LARGEST_BUFFERS}

    def counter(kind: str) -> Callable[[nn.Module, str, Tensor | None], None]:
        def count(_module: nn.Module, _name: str, value: Tensor | None) -> None:
            if value is not None and threading.get_ident() == thread:
                found[kind] += value.numel()
                if found[kind] > limits[kind]:
                    raise TooLargeError

        return count

    handles = [
        hooks.register_module_parameter_registration_hook(counter("parameters")),
        hooks.register_module_buffer_registration_hook(counter("buffers")),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
