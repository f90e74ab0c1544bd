"""The masked-item objective, a Cloze task (BERT4Rec, arXiv 1904.06690)."""

from dataclasses import replace

import numpy as np
import torch

from seqzoo.data.batches import TrainingBatch, Windows, gather, training_batches, training_windows
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.interfaces import MASK, Backbone, SequenceBatch
from seqzoo.objectives.base import Inputs, WindowSettings
from seqzoo.objectives.rows import RowObjective
from seqzoo.parts.config import MaskedItemConfig

__all__ = ["MaskedItem", "with_mask"]


class MaskedItem(RowObjective):
    """Mask some items of a history and predict them from all others, on both sides.

    A share of the items of every window is masked, at least one; in some windows only the newest
    item is masked, as in a recommendation. For a recommendation a masked event follows the history,
    and its vector is the user's. Section 3.5 of the paper; masked items are drawn without
    replacement, as in the authors' code, but in every epoch instead of once.
    """

    needs = frozenset({"non-causal", "mask"})
    changes_history = True

    def __init__(self, config: MaskedItemConfig, backbone: Backbone) -> None:
        super().__init__(config, backbone)
        self.mask_ratio = config.mask_ratio
        self.mask_newest_ratio = config.mask_newest_ratio
        self.drop_oldest = config.drop_oldest

    def plan(
        self, split: Split, settings: WindowSettings, generator: np.random.Generator
    ) -> list[Windows]:
        """The batches of one epoch: windows over all events of the training histories."""
        # The windows of the next item end one event early, because their targets are one later.
        whole = replace(split, history_end=split.history_end + 1)
        windows = training_windows(
            whole, settings.max_length, generator, settings.shift, settings.context
        )
        # A hidden item alone would be predicted from nothing.
        return training_batches(
            windows.take(np.flatnonzero(windows.lengths > 1)),
            positions_per_batch=settings.positions_per_batch,
            generator=generator,
            every_position=True,
        )

    def batch(
        self, sequences: Sequences, windows: Windows, generator: np.random.Generator
    ) -> Inputs:
        """Each window with some of its items hidden; these are the targets."""
        histories = gather(sequences, windows.starts, windows.lengths)
        items = histories.items.numpy()
        columns, lengths = np.arange(items.shape[1]), windows.lengths[:, None]
        free = (columns >= windows.contexts[:, None]) & (columns < lengths)
        wanted = np.maximum(np.rint(self.mask_ratio * free.sum(1)), 1)
        draws = np.where(free, generator.random(items.shape), np.inf)
        hidden = free & (draws.argsort(1).argsort(1) < wanted[:, None])
        newest = generator.random(len(items)) < self.mask_newest_ratio
        hidden[newest] = (columns == lengths - 1)[newest]
        targets = torch.from_numpy(np.where(hidden, items, 0))
        corrupted = torch.from_numpy(np.where(hidden, MASK, items))
        return Inputs(TrainingBatch(replace(histories, items=corrupted), targets))

    def query(self, batch: SequenceBatch, max_length: int) -> SequenceBatch:
        """A hidden event after each history; a full history loses its oldest event."""
        return with_mask(batch, max_length, self.drop_oldest)


def with_mask(batch: SequenceBatch, max_length: int, drop_oldest: bool = False) -> SequenceBatch:
    """Append a hidden event to each history.

    Args:
        batch: histories of at most ``max_length`` events.
        max_length: maximum number of events; a history of as many loses its oldest. The time of the
            hidden event is that of the newest.
        drop_oldest: whether every history loses its oldest event, even a short one.
    """
    # Not `len`, which fixes the number of histories when a model is traced.
    rows = torch.arange(batch.items.shape[0], device=batch.items.device)
    full = batch.lengths >= (0 if drop_oldest else max_length)
    lengths = torch.where(full, batch.lengths, batch.lengths + 1)
    # The oldest event of a row that loses it moves to the last column, which is cut off.
    cut = drop_oldest or batch.items.shape[1] >= max_length

    def appended(values: torch.Tensor, newest: torch.Tensor) -> torch.Tensor:
        wider = torch.cat([values, values.new_zeros(values.shape[0], 1)], 1)
        wider[rows, batch.lengths] = newest
        found = torch.where(full[:, None], wider.roll(-1, 1), wider)
        return found[:, :-1] if cut else found

    def repeated(values: torch.Tensor | None) -> torch.Tensor | None:
        return None if values is None else appended(values, batch.gather_last(values))

    none = torch.zeros_like(rows)
    return replace(
        batch,
        items=appended(batch.items, none + MASK),
        lengths=lengths,
        # The request time is the only time that is known of the hidden event.
        timestamps=repeated(batch.timestamps),
        query_times=repeated(batch.query_times),
        features={
            name: appended(values, none.to(values)) for name, values in batch.features.items()
        },
    )
