"""Baselines fitted on the training part of the data that a model is measured on."""

import logging
from collections.abc import Sequence

import torch

from seqzoo.data.parts import histories_of
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import ChosenSplit, train_counts
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError, TrainingError
from seqzoo.model.build import MissingFeatureError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue

__all__ = [
    "baseline_names",
    "fit_baselines",
]

logger = logging.getLogger("seqzoo")


def baseline_names() -> list[str]:
    """The architectures that are registered as baselines, in the order of their registration."""
    return [spec.name for spec in catalogue().architectures.in_order() if spec.baseline]


def fit_baselines(
    data: SequenceData,
    split: ChosenSplit,
    vocabulary: Vocabulary | None = None,
    *,
    leave_out: Sequence[str] = (),
) -> dict[str, SequenceModel]:
    """Every registered baseline with its default settings, fitted on the training part.

    A baseline that needs something which the data lack, such as timestamps or a feature of the
    events, is left out with a message. The caller's random numbers stay as they are.

    Args:
        data: all interactions; the held-out ones are not read.
        split: how they are divided; the baselines learn from its training part.
        vocabulary: the items of the data in index order, if not ``data.vocabulary``.
        leave_out: names of baselines that are not wanted.
    """
    train = split.part(data, "train")
    counts = train_counts(data.sequences, train, len(data.vocabulary))
    known = (vocabulary or data.vocabulary).with_counts(counts.tolist())
    fitted = {}
    for name in baseline_names():
        if name in leave_out:
            continue
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = SequenceModel.build(name, {}, known).eval()
            if model.head.closed_form:
                sequences = model.reads.of_data(data, data.sequences)
                model.head.fit(histories_of(sequences, train))
                fitted[name] = model
        except (DataError, MissingFeatureError, TrainingError) as error:
            logger.info("%s is left out: %s", name, error)
    return fitted
