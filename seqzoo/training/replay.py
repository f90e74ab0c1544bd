"""What a run trains on: which events are targets, and older ones that are trained on again."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import ChosenSplit, Split
from seqzoo.training.recipe import TrainConfig

__all__ = ["Int64s", "split_of_epoch", "trained_part"]

Int64s = npt.NDArray[np.int64]


def trained_part(data: SequenceData, chosen: ChosenSplit | None) -> Split:
    """The histories that are trained on, and the first target of each.

    Joined data have the newer events as targets and the older ones as their context.

    Args:
        data: the data, joined or not.
        chosen: how events are held out; None to train on all of them.

    Raises:
        DataError: the data cannot be split in this way.
    """
    if chosen is None:
        starts, ends = data.sequences.offsets[:-1].copy(), data.sequences.offsets[1:].copy()
        users = np.arange(len(starts), dtype=np.int64)
        split = Split(starts, ends, np.full(len(starts), -1, dtype=np.int64), users)
    else:
        split = chosen.part(data, "train")
    if data.new_from is None:
        return split
    return replace(split, first_target=np.minimum(data.new_from[split.users], split.history_end))


def split_of_epoch(split: Split, config: TrainConfig, epoch: int) -> Split:
    """The split of one epoch: all newer events, and the older ones of users drawn at random.

    Users are drawn until their older events are ``config.replay`` times as many as the newer ones.
    The draw depends only on the seed and the epoch's number.
    """
    first = split.first_target
    if first is None or not config.replay:
        return split
    newer = int((split.history_end - first).sum())
    generator = np.random.default_rng([config.seed, epoch, 1])
    users = generator.permutation(len(split))
    older = np.cumsum((first - split.history_start)[users])
    drawn = users[: int(np.searchsorted(older, config.replay * newer, "right")) + 1]
    return Split(
        np.concatenate([split.history_start, split.history_start[drawn]]),
        np.concatenate([split.history_end, first[drawn]]),
        np.concatenate([split.target, split.target[drawn]]),
        np.concatenate([split.users, split.users[drawn]]),
        first_target=np.concatenate([first, split.history_start[drawn]]),
    )
