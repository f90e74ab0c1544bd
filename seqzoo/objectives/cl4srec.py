"""CL4SRec's objective: InfoNCE between two augmented views (arXiv 2010.14395)."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqzoo.data.batches import Int64s, Windows, gather
from seqzoo.data.sequences import Sequences
from seqzoo.interfaces import MASK, Backbone, SequenceBatch
from seqzoo.objectives.base import Inputs
from seqzoo.objectives.contrast import ContrastiveObjective
from seqzoo.parts.config import Cl4SRecConfig

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["CROP", "HIDE", "REORDER", "Cl4SRec", "augmented"]

CROP, HIDE, REORDER = range(3)
"""The augmentations of section 3.3."""


class Cl4SRec(ContrastiveObjective):
    """Two views of every history, each by another one of crop, mask and reorder.

    Views are made from copies. In the authors' code they overwrite the training data.
    """

    needs = frozenset({"mask"})

    def __init__(self, config: Cl4SRecConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.ratios = (config.crop_ratio, config.hide_ratio, config.reorder_ratio)

    def batch(
        self, sequences: Sequences, windows: Windows, generator: np.random.Generator
    ) -> Inputs:
        """The main objective's inputs, and the two views."""
        inputs = self.main.batch(sequences, windows, generator)
        first = generator.integers(0, 3, len(windows))
        second = (first + generator.integers(1, 3, len(windows))) % 3
        views = {
            name: augmented(sequences, windows, operations, self.ratios, generator)
            for name, operations in (("first", first), ("second", second))
        }
        return replace(inputs, views=views)

    def pairs(
        self, model: "SequenceModel", hidden: Tensor, inputs: Inputs
    ) -> list[tuple[Tensor, Tensor]]:
        """The user vectors of the two views."""
        first, second = inputs.views["first"], inputs.views["second"]
        return [(self.main.read(model, first), self.main.read(model, second))]


def augmented(
    sequences: Sequences,
    windows: Windows,
    operations: Int64s,
    ratios: tuple[float, float, float],
    generator: np.random.Generator,
) -> SequenceBatch:
    """An augmented copy of each window; a window of one event stays as it is.

    Args:
        sequences: the data.
        windows: the events of each row.
        operations: ``CROP``, ``HIDE`` or ``REORDER`` for each row [B].
        ratios: the share of a history that is kept, hidden or reordered by each operation.
        generator: draws the positions.

    Returns:
        ``CROP`` keeps a contiguous part, at least one event. ``HIDE`` replaces some items by
        ``MASK``. ``REORDER`` shuffles the items of a contiguous part; timestamps stay sorted.
    """
    operations = np.where(windows.lengths > 1, operations, -1)
    sizes = [np.floor(ratio * windows.lengths).astype(np.int64) for ratio in ratios]
    # Where the part of a crop or of a reordering begins.
    kept = np.where(operations == CROP, np.maximum(sizes[CROP], 1), sizes[REORDER])
    begins = np.floor(generator.random(len(windows)) * (windows.lengths - kept + 1)).astype(int)
    cropped = operations == CROP
    lengths = np.where(cropped, kept, windows.lengths)
    histories = gather(sequences, windows.starts + np.where(cropped, begins, 0), lengths)
    items = histories.items.numpy()
    columns = np.arange(items.shape[1])
    inside = columns < lengths[:, None]
    draws = generator.random(items.shape)

    ranks = np.where(inside, draws, np.inf).argsort(1).argsort(1)
    hidden = (operations == HIDE)[:, None] & (ranks < sizes[HIDE][:, None])
    part = (columns >= begins[:, None]) & (columns < (begins + kept)[:, None]) & inside
    moved = (operations == REORDER)[:, None] & part
    # Other events keep their position; those of the part get random ones between its ends.
    sort_keys = np.where(moved, begins[:, None] - 0.5 + draws * kept[:, None], columns)
    order = sort_keys.argsort(1, kind="stable")
    items = np.take_along_axis(np.where(hidden, MASK, items), order, 1)
    features = {
        name: values.gather(1, torch.from_numpy(order))
        for name, values in histories.features.items()
    }
    return replace(histories, items=torch.from_numpy(items), features=features)
