"""RecTools's SASRec with RecTools's own settings, trained by its ``fit_partial``."""

import logging
import math
import warnings

import pandas as pd
import torch
from curve import Curve, arguments
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

CUTOFF = 10


def trainer() -> Trainer:
    """A silent trainer on the CPU that writes no files; ``fit_partial`` sets the epochs."""
    return Trainer(
        max_epochs=1,
        min_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def main() -> None:
    """Train epoch by epoch and rank each user's validation item among all items."""
    given = arguments()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    seed_everything(0, verbose=False)
    table = pd.read_csv(given.data, dtype={"user": str, "item": str})
    table = table.rename(columns={"user": Columns.User, "item": Columns.Item})
    table[Columns.Datetime] = pd.to_datetime(table.pop("timestamp"), unit="s")
    table[Columns.Weight] = 1.0
    # Counted from the end of each history: 0 is the test item, 1 the validation item.
    place = table.groupby(Columns.User).cumcount(ascending=False)
    valid = table[place == 1].set_index(Columns.User)[Columns.Item]
    dataset = Dataset.construct(table[place > 1])
    model = SASRecModel(session_max_len=given.length, get_trainer_func=trainer)
    curve = Curve(given.epochs, given.target)
    while True:
        with curve.training():
            model.fit_partial(dataset, min_epochs=1, max_epochs=1)
        with torch.no_grad():
            found = model.recommend(valid.index, dataset, k=CUTOFF, filter_viewed=False)
        hits = found[found[Columns.Item] == found[Columns.User].map(valid)]
        gain = sum(1.0 / math.log2(rank + 1.0) for rank in hits[Columns.Rank])
        if curve.finished(gain / len(valid)):
            return


if __name__ == "__main__":
    main()
