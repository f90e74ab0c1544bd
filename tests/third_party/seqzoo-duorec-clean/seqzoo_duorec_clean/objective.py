"""The objective: the next item of a random prefix, and prefixes of the same next item are similar.

Shapes in brackets: B rows of a batch, D width.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqzoo import SequenceModel
from seqzoo.interfaces import Backbone
from seqzoo.objectives import (
    Inputs,
    Objective,
    Sequences,
    Split,
    Windows,
    WindowSettings,
    gather,
    training_batch,
    training_batches,
    training_windows,
)
from seqzoo_duorec_clean.config import DuoRecCleanConfig


@dataclass(frozen=True)
class Prefixes:
    """For each item the training prefixes that it follows.

    Attributes:
        longest: the number of events that the model reads.
        ends: position of the item in ``Sequences.items`` by item.
        begins: position of the first event of each history, ascending.
    """

    longest: int
    ends: dict[int, list[int]]
    begins: Any


class DuoRecClean(Objective):
    """Cross-entropy of the next item plus InfoNCE between two views of each user.

    The views are a second pass with dropout, and a prefix that the same item follows. Rows with
    the same next item are left out of each other's negatives.
    """

    def __init__(self, config: DuoRecCleanConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.strength = config.contrast_strength
        self.sharpness = config.contrast_sharpness
        self.prefixes: Prefixes | None = None

    def prepared(self, sequences: Sequences, split: Split, settings: WindowSettings) -> Objective:
        """A copy that knows the prefixes of the training part."""
        ends: dict[int, list[int]] = {}
        for begin, end in zip(split.history_start, split.history_end, strict=True):
            for position in range(begin + 1, end):
                ends.setdefault(int(sequences.items[position]), []).append(position)
        made = copy.copy(self)
        made.prefixes = Prefixes(settings.max_length, ends, split.history_start)
        return made

    def plan(
        self, split: Split, settings: WindowSettings, generator: np.random.Generator
    ) -> list[Windows]:
        """A random prefix of every window."""
        windows = training_windows(
            split, settings.max_length, generator, settings.shift, settings.context
        )
        return training_batches(
            windows,
            positions_per_batch=settings.positions_per_batch,
            generator=generator,
            every_position=False,
        )

    def batch(
        self, sequences: Sequences, windows: Windows, generator: np.random.Generator
    ) -> Inputs:
        """The prefixes, and others that the same items follow."""
        if self.prefixes is None:
            raise RuntimeError("prepared() has not been called")
        main = training_batch(sequences, windows, every_position=False)
        ends = []
        for end in windows.starts + windows.lengths:
            others = [p for p in self.prefixes.ends[int(sequences.items[end])] if p != end]
            ends.append(int(generator.choice(others)) if others else int(end))
        places = np.searchsorted(self.prefixes.begins, ends, side="right") - 1
        starts = np.maximum(self.prefixes.begins[places], np.array(ends) - self.prefixes.longest)
        return Inputs(main, {"same": gather(sequences, starts, np.array(ends) - starts)})

    def loss(self, model: SequenceModel, inputs: Inputs) -> Tensor:
        """The mean cross-entropy plus the contrastive term."""
        targets = inputs.main.targets.sum(1)
        loss = model.head.loss(model.last(inputs.main.histories), targets)
        again, same = model.last(inputs.main.histories), model.last(inputs.views["same"])
        term = clean_info_nce(again, same, targets, self.sharpness)
        return (loss + self.strength * term) * inputs.weight


def clean_info_nce(one: Tensor, other: Tensor, targets: Tensor, sharpness: float) -> Tensor:
    """InfoNCE of two views [B, D] whose negatives have other targets [B]: a scalar."""
    vectors = functional.normalize(torch.cat([one, other]), dim=-1)
    scores = sharpness * vectors @ vectors.T
    partner = torch.arange(len(vectors), device=scores.device).roll(len(one))
    alike = torch.cat([targets, targets])
    negative = alike[:, None] != alike
    negative[torch.arange(len(vectors)), partner] = True
    return functional.cross_entropy(scores.masked_fill(~negative, -torch.inf), partner)
