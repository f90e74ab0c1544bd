"""Training on all events for as many epochs as an earlier run with validation needed."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqzoo.errors import ConfigError
from seqzoo.training.state import read_progress

__all__ = ["with_epochs_of_run"]

logger = logging.getLogger("seqzoo")


def with_epochs_of_run(changes: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The changes of a recipe, with the best epoch of its run if they turn validation off.

    Args:
        changes: settings by section. With ``train.hold_out=none`` and without ``train.epochs`` the
            number of epochs is the best one of the run that the folder holds.
        folder: the folder of the recipe.

    Raises:
        ConfigError: the folder holds no run with a best epoch.
        TrainingError: its progress is damaged.
    """
    train = changes.get("train", {})
    if not isinstance(train, Mapping) or train.get("hold_out") != "none" or "epochs" in train:
        return dict(changes)
    progress = read_progress(folder)
    if progress is None or not progress.best_epoch:
        raise ConfigError(
            f"train.hold_out=none needs a number of epochs, and {folder} holds no run with a best "
            "epoch; set it, for example train.epochs=20"
        )
    logger.info("training for %d epochs, the best epoch of %s", progress.best_epoch, folder)
    return {**changes, "train": {**train, "epochs": progress.best_epoch}}
