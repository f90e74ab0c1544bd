"""RecBole's SASRec with RecBole's own settings, trained by RecBole's trainer."""

import os
import sys
import tempfile
from pathlib import Path

from curve import Curve, arguments
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


def main() -> None:
    """Train epoch by epoch and evaluate on the validation items, with all items as candidates."""
    given = arguments()
    del sys.argv[1:]  # RecBole's Config reads the command line too.
    _, *rows = given.data.read_text("utf-8").splitlines()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        text = HEADER + "".join(row.replace(",", "\t") + "\n" for row in rows)
        (folder / "data.inter").write_text(text, "utf-8")
        os.chdir(name)  # RecBole writes its logs where it runs.
        settings = {
            "data_path": name,
            "checkpoint_dir": f"{name}/saved",
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "MAX_ITEM_LIST_LENGTH": given.length,
            "eval_args": {
                "split": {"LS": "valid_and_test"},
                "order": "TO",
                "group_by": "user",
                "mode": "full",
            },
            "metrics": ["NDCG"],
            "topk": [10],
            "valid_metric": "NDCG@10",
            "metric_decimal_place": 10,
            "train_neg_sample_args": None,
            "use_gpu": False,
            "show_progress": False,
            "state": "ERROR",
        }
        config = Config(model="SASRec", dataset="data", config_dict=settings)
        init_seed(config["seed"], config["reproducibility"])
        train, valid, _ = data_preparation(config, create_dataset(config))
        model = get_model("SASRec")(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], "SASRec")(config, model)
        curve = Curve(given.epochs, given.target)
        while True:
            with curve.training():
                trainer._train_epoch(train, curve.epoch, show_progress=False)
            value = trainer.evaluate(valid, load_best_model=False, show_progress=False)["ndcg@10"]
            if curve.finished(float(value)):
                return


if __name__ == "__main__":
    main()
