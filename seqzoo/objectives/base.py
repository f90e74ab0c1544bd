"""The interface of an objective, and the inputs that it makes.

Shapes in brackets: B histories in a batch, L positions, D hidden width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqzoo.data.batches import TrainingBatch, Windows
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.errors import ConfigError, PluginError
from seqzoo.interfaces import Backbone, SequenceBatch

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["NEEDS", "Inputs", "Objective", "WindowSettings"]

NEEDS = ("causal", "non-causal", "mask")
"""What an objective may need of a model: see ``Objective.needs``."""


@dataclass(frozen=True)
class WindowSettings:
    """How training histories are cut into windows and batches.

    Attributes:
        max_length: maximum number of events of a window.
        positions_per_batch: maximum number of positions of a batch, including padding.
        shift: cut long histories at different positions in every epoch.
        context: number of events that a window of a long history reads before its first target.
    """

    max_length: int
    positions_per_batch: int
    shift: bool = True
    context: int = 0


@dataclass(frozen=True)
class Inputs:
    """What the loss of one batch is computed from.

    Attributes:
        main: histories with the item that each position predicts, 0 where it predicts none. A batch
            has at least one target.
        views: further histories by name, such as augmented ones, with the same rows as ``main``.
        weight: what the mean over these targets counts in the whole batch: 1.0, unless several
            processes share the batch. ``Objective.loss`` multiplies by it.
    """

    main: TrainingBatch
    views: Mapping[str, SequenceBatch] = field(default_factory=dict)
    weight: float = 1.0

    @property
    def count(self) -> int:
        """The number of targets."""
        return int((self.main.targets > 0).sum())

    def take(self, rows: Tensor) -> "Inputs":
        """Some of the rows."""
        main = TrainingBatch(self.main.histories.take(rows), self.main.targets[rows])
        views = {name: view.take(rows) for name, view in self.views.items()}
        return replace(self, main=main, views=views)

    def to(self, device: torch.device | str) -> "Inputs":
        """The same inputs on another device."""
        main = TrainingBatch(self.main.histories.to(device), self.main.targets.to(device))
        views = {name: view.to(device) for name, view in self.views.items()}
        return replace(self, main=main, views=views)


class Objective(ABC):
    """What a model is trained on, and how it reads a history afterwards.

    Training calls ``prepared`` once, ``plan`` in every epoch, ``batch`` for every batch and
    ``loss`` for its inputs. Everything that turns histories into user vectors (evaluation,
    ``recommend``, ``encode``, sessions) calls ``read``. An objective has no parameters: it uses the
    parts of the model. All its randomness comes from the generators that it is given, which depend
    only on seed, epoch and batch, so that a resumed run repeats the same batches bit for bit.
    """

    needs: frozenset[str] = frozenset()
    """What a model must have: a ``causal`` or a ``non-causal`` backbone, or a ``mask`` vector of
    its embedder. The attribute of a class, or of an instance where settings decide."""
    changes_history: bool = False
    """Whether ``query`` changes the history. Sessions then read the newest events again for each
    recommendation instead of keeping a state."""

    def __init__(self, config: Any, backbone: Backbone) -> None:
        """Make an objective for a model.

        Args:
            config: the objective's settings, of the dataclass that it is registered with.
            backbone: the backbone of the model; its capabilities may decide what is trained.
        """
        super().__init__()

    def check(self, model: "SequenceModel") -> None:
        """Check that a model has what the objective needs, when the model is built.

        Raises:
            ConfigError: names the objective, what it needs, and the part that lacks it.
            PluginError: ``needs`` has an unknown word.
        """
        backbone, embedder = f"'{model.parts['backbone']}'", f"'{model.parts['embedder']}'"
        lacks = {
            "causal": None
            if model.backbone.causal
            else f"a causal backbone; {backbone} is not causal with these settings",
            "non-causal": f"a non-causal backbone; {backbone} is causal with these settings"
            if model.backbone.causal
            else None,
            "mask": None
            if model.embedder.takes_mask
            else f"an embedder with a mask vector; {embedder} has none (takes_mask is False)",
        }
        for need in sorted(self.needs):
            if need not in lacks:
                raise PluginError(
                    f"the objective '{model.objective_name}' needs '{need}', which is unknown; "
                    f"expected some of: {', '.join(NEEDS)}"
                )
            if lacks[need] is not None:
                raise ConfigError(
                    f"the objective '{model.objective_name}' needs {lacks[need]}; choose another "
                    "objective (model.objective=next-item) or another architecture"
                )

    def prepared(self, sequences: Sequences, split: Split, settings: WindowSettings) -> "Objective":
        """The objective with what it needs to know about the training data; itself by default.

        Called once before the first epoch. Return a copy, so that the model does not keep the data.

        Args:
            sequences: the data.
            split: the part that is trained on.
            settings: how histories are cut.
        """
        return self

    @abstractmethod
    def plan(
        self, split: Split, settings: WindowSettings, generator: np.random.Generator
    ) -> list[Windows]:
        """The batches of one epoch, in training order.

        Args:
            split: the part that is trained on.
            settings: how histories are cut.
            generator: the generator of this epoch.
        """

    @abstractmethod
    def batch(
        self, sequences: Sequences, windows: Windows, generator: np.random.Generator
    ) -> Inputs:
        """The inputs of one batch, on the CPU.

        No target may be found in what its own row reads: at positions up to the row's own where the
        backbone is causal, anywhere in the history where it is not.

        Args:
            sequences: the data.
            windows: one of those that ``plan`` returned.
            generator: the generator of this batch; masks and views are drawn from it.
        """

    @abstractmethod
    def loss(self, model: "SequenceModel", inputs: Inputs) -> Tensor:
        """The mean loss over the targets, multiplied by ``inputs.weight``: a scalar.

        It uses ``model(histories)`` [B, L, D], ``model.last(histories)`` [B, D] and
        ``model.head.loss(hidden [M, D], targets [M])``.
        """

    def query(self, batch: SequenceBatch, max_length: int) -> SequenceBatch:
        """The history as the model reads it for a recommendation; unchanged by default.

        Real events stay in their order. If there is no room for what is added, only the oldest are
        dropped.

        Args:
            batch: the newest events of each history, at most ``max_length``.
            max_length: maximum number of events that the model reads.
        """
        return batch

    def read(self, model: "SequenceModel", batch: SequenceBatch) -> Tensor:
        """User vectors of histories: [B, D]."""
        return model.last(self.query(batch, model.max_length))
